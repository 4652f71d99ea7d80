//go:build !stoppoint

package resctrl

func testRoot() string { return "" }
