package libct

import (
	"strconv"
	"testing"
)

func TestParseUser(t *testing.T) {
	none := -1
	for _, c := range []struct {
		text string
		uid  uint32
		gid  int
		ok   bool
	}{
		{"0", 0, none, true},
		{"1000", 1000, none, true},
		{"1000:100", 1000, 100, true},
		{"4294967294:4294967294", 4294967294, 4294967294, true},
		{"0001", 1, none, true},
		{text: ""},
		{text: ":"},
		{text: ":5"},
		{text: "5:"},
		{text: "-1"},
		{text: "+1"},
		{text: "1 "},
		{text: " 1"},
		{text: "1x"},
		{text: "0x10"},
		{text: "1_000"},
		{text: "1:2:3"},
		{text: "4294967295"},
		{text: "4294967296"},
		{text: "0:4294967296"},
		{text: "18446744073709551616"},
		{text: "root"},
		{text: "１"},
	} {
		uid, gid, err := ParseUser(c.text)
		if (err == nil) != c.ok {
			t.Errorf("ParseUser(%q): error %v, want success %v", c.text, err, c.ok)
			continue
		}
		if err != nil {
			continue
		}
		if uid != c.uid || (gid == nil) != (c.gid == none) || gid != nil && int(*gid) != c.gid {
			t.Errorf("ParseUser(%q) = %d, %v; want %d, %d", c.text, uid, gid, c.uid, c.gid)
		}
	}
}

func FuzzParseUser(f *testing.F) {
	for _, seed := range []string{"0", "1:2", "4294967296", "-1", "1:", ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uid, gid, err := ParseUser(text)
		if err != nil {
			return
		}
		if uid == 1<<32-1 || gid != nil && *gid == 1<<32-1 {
			t.Errorf("ParseUser(%q) gives the kernel's \"no id\"", text)
		}
		canonical := strconv.FormatUint(uint64(uid), 10)
		if gid != nil {
			canonical += ":" + strconv.FormatUint(uint64(*gid), 10)
		}
		if u, g, err := ParseUser(canonical); err != nil || u != uid || (g == nil) != (gid == nil) || g != nil && *g != *gid {
			t.Errorf("ParseUser(%q) and ParseUser(%q) differ", text, canonical)
		}
	})
}
