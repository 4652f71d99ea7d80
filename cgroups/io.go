package cgroups

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// throttles lists the four limits of one device with their v1 file and their key in v2's io.max.
func throttles(b *specs.LinuxBlockIO) []struct {
	devices       []specs.LinuxThrottleDevice
	name, v1, key string
} {
	return []struct {
		devices       []specs.LinuxThrottleDevice
		name, v1, key string
	}{
		{b.ThrottleReadBpsDevice, "throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
		{b.ThrottleWriteBpsDevice, "throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
		{b.ThrottleReadIOPSDevice, "throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
		{b.ThrottleWriteIOPSDevice, "throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"},
	}
}

// blockIOV1 uses the files of the CFQ scheduler, which kernels before 5.0 had, or those of BFQ.
func (c *convert) blockIOV1(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	if w, ok := c.weight(b.Weight, "/blockIO/weight"); ok {
		s := c.add("blkio", "blkio.weight", w, "/blockIO/weight")
		s.alt, s.altValue = "blkio.bfq.weight", w
	}
	if w, ok := c.weight(b.LeafWeight, "/blockIO/leafWeight"); ok {
		c.add("blkio", "blkio.leaf_weight", w, "/blockIO/leafWeight")
	}
	for i, d := range b.WeightDevice {
		at := "/blockIO/weightDevice/" + strconv.Itoa(i)
		dev := c.device(d.LinuxBlockIODevice, at)
		if w, ok := c.weight(d.Weight, at+"/weight"); ok {
			s := c.add("blkio", "blkio.weight_device", dev+" "+w, at+"/weight")
			s.alt, s.altValue = "blkio.bfq.weight_device", dev+" "+w
		}
		if w, ok := c.weight(d.LeafWeight, at+"/leafWeight"); ok {
			c.add("blkio", "blkio.leaf_weight_device", dev+" "+w, at+"/leafWeight")
		}
	}
	for _, t := range throttles(b) {
		for i, d := range t.devices {
			at := "/blockIO/" + t.name + "/" + strconv.Itoa(i)
			c.add("blkio", t.v1, c.device(d.LinuxBlockIODevice, at)+" "+utoa(d.Rate), at) // a rate of 0 removes the limit
		}
	}
}

// blockIOV2 prefers BFQ's own weight, which has the range of v1, to io.weight.
func (c *convert) blockIOV2(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	if w, ok := c.weight(b.Weight, "/blockIO/weight"); ok {
		s := c.add("io", "io.bfq.weight", w, "/blockIO/weight")
		s.alt, s.altValue = "io.weight", ioWeight(*b.Weight)
	}
	if isSet(b.LeafWeight) {
		c.v1only("/blockIO/leafWeight")
	}
	for i, d := range b.WeightDevice {
		at := "/blockIO/weightDevice/" + strconv.Itoa(i)
		dev := c.device(d.LinuxBlockIODevice, at)
		if w, ok := c.weight(d.Weight, at+"/weight"); ok {
			s := c.add("io", "io.bfq.weight", dev+" "+w, at+"/weight")
			s.alt, s.altValue = "io.weight", dev+" "+ioWeight(*d.Weight)
		}
		if isSet(d.LeafWeight) {
			c.v1only(at + "/leafWeight")
		}
	}
	for _, t := range throttles(b) {
		for i, d := range t.devices {
			at, rate := "/blockIO/"+t.name+"/"+strconv.Itoa(i), "max"
			if d.Rate > 0 {
				rate = utoa(d.Rate)
			}
			c.add("io", "io.max", c.device(d.LinuxBlockIODevice, at)+" "+t.key+"="+rate, at)
		}
	}
}

// weight checks the range of the specification; 0 means "not asked for", as docker sends it.
func (c *convert) weight(w *uint16, at string) (string, bool) {
	if !isSet(w) {
		return "", false
	}
	if *w < 10 || *w > 1000 {
		c.fail(at, "set block IO weight: %d is not within 10 and 1000", *w)
		return "", false
	}
	return utoa(uint64(*w)), true
}

// ioWeight maps [10, 1000] linearly to [1, 10000], as runc and crun do.
func ioWeight(w uint16) string { return utoa(1 + (uint64(w)-10)*9999/990) }

func (c *convert) device(d specs.LinuxBlockIODevice, at string) string {
	if d.Major < 0 || d.Minor < 0 {
		c.fail(at, "name block device %d:%d: negative number", d.Major, d.Minor)
	}
	return itoa(d.Major) + ":" + itoa(d.Minor)
}
