package nsenter

import _ "embed"

//go:embed interp/interp_arm64.bin
var interpreter string
