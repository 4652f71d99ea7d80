//go:build stoppoint

package resctrl

import "os"

// testRoot is a file system that does as if it were resctrl: in builds for crash tests only.
func testRoot() string { return os.Getenv("HUSK_RESCTRL") }
