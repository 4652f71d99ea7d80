package nsenter

import _ "embed"

//go:embed interp/interp_amd64.bin
var interpreter string
