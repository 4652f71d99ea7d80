package libct

import "errors"

// Engines look for these texts in what a runtime prints, so they stay as runc
// words them.
var (
	ErrEmptyID    = errors.New("container id cannot be empty")
	ErrInvalidID  = errors.New("invalid container ID format")
	ErrExist      = errors.New("container with given ID already exists")
	ErrNotExist   = errors.New("container does not exist")
	ErrNotRunning = errors.New("container not running")
	ErrRunning    = errors.New("container still running")
	ErrPaused     = errors.New("container paused")
	ErrNotPaused  = errors.New("container not paused")
)
