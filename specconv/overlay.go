package specconv

import "strings"

// valueLimit is how long a value may be for fsconfig(2): mount(2) has a page for all options together.
const valueLimit = 255

// layersOf takes a list of lower layers of an overlay apart that is too long for one value: Podman's paths are, where an image or
// an overlay is mounted. Since Linux 6.7 they can be given one by one, and then without escapes (Documentation/filesystems/overlayfs).
// Of anything else it returns nil.
func layersOf(fstype string, o parameter) (layers []string) {
	if fstype != "overlay" || o.key != "lowerdir" || len(o.value) <= valueLimit || strings.Contains(o.value, "::") {
		return nil
	}
	var layer strings.Builder
	for i := 0; i < len(o.value); i++ {
		switch c := o.value[i]; {
		case c == '\\' && i+1 < len(o.value):
			i++
			layer.WriteByte(o.value[i])
		case c == ':':
			layers = append(layers, layer.String())
			layer.Reset()
		default:
			layer.WriteByte(c)
		}
	}
	return append(layers, layer.String())
}
