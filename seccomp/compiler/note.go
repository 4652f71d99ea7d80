//go:build cgo

package main

// The import makes the go command compile note.c.

import "C"
