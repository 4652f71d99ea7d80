package seccomp

import (
	"encoding/binary"
	"math/bits"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"husk/seccomp/internal/wire"
)

// generation must be raised with every change of this package that gives
// another filter for the same profile, or another format of a cache entry.
const generation = 2

// CacheKey stands for everything a filter depends on. Keys can be compared.
//
// It holds all of it and not a hash. A cache entry does, too, and is used only
// if both are equal. So no profile can be made for which a filter of another
// one is loaded, which a hash promises only if it is a cryptographic one, and
// the packages of Go's sha256 cost every command 0.07 ms of start-up. The sum
// names the file; who makes two profiles with the same sum makes them compete
// for one file, and each is compiled again.
type CacheKey struct {
	sum   uint64
	input string
}

// Key returns the key of p's filter on this host.
func Key(p *specs.LinuxSeccomp) CacheKey {
	id := identity()
	input := make([]byte, 0, 16<<10)
	input = append(input, generation, recentFlags(p))
	input = binary.LittleEndian.AppendUint32(input, uint32(len(id)))
	input = append(input, id...)
	input = wire.AppendProfile(input, p)
	return CacheKey{sum(input), string(input)}
}

// recentFlags has a bit for each flag of the profile about which the kernel has
// to be asked, and took: the cache may outlive a reboot into another kernel.
func recentFlags(p *specs.LinuxSeccomp) byte {
	var b byte
	for i, f := range flags() {
		for _, name := range p.Flags {
			if f.recent && name == f.name && kernelTakes(f.bit) {
				b |= 1 << i
			}
		}
	}
	return b
}

// file is the name of the entry.
func (k CacheKey) file() string { return strconv.FormatUint(k.sum, 16) }

// sum is a checksum of 64 bits, eight bytes at a time: good against accidents,
// made to withstand nobody.
func sum(b []byte) uint64 {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	h := uint64(len(b)) * odd1
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^binary.LittleEndian.Uint64(b), 29) * odd2
	}
	for _, c := range b {
		h = bits.RotateLeft64(h^uint64(c), 29) * odd1
	}
	h ^= h >> 32
	h *= odd2
	return h ^ h>>29
}
