package libct

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
)

// What of a container's messages the service manager gets to see.
func TestTranslate(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		ready      bool
	}{
		{"READY=1", "READY=1\nMAINPID=42", true},
		{"READY=1\n", "READY=1\nMAINPID=42", true},
		{"READY=1\nSTATUS=up\nMAINPID=7\n", "READY=1\nSTATUS=up\nMAINPID=42", true},
		{"READY=0", "", false},
		{"READY=", "", false},
		{"XREADY=1", "", false},
		{"MAINPID=7", "MAINPID=42", false},
		{"MAINPID=", "", false},
		{"MAINPID=-1", "", false},
		{"MAINPIDFD=1\nMAINPIDFDID=2", "", false},
		{"STATUS=", "STATUS=", false},
		{"STATUS=a=b ü", "STATUS=a=b ü", false},
		{"STATUS=\x1b]0;x\a\x00\x7f\u009b\xff", "STATUS=?]0;x?????", false},
		{"STOPPING=1\nSTOPPING=2", "STOPPING=1", false},
		{"RELOADING=1\nMONOTONIC_USEC=1500", "RELOADING=1\nMONOTONIC_USEC=500", false},
		{"RELOADING=true\nMONOTONIC_USEC=now", "", false},
		{"MONOTONIC_USEC=999", "", false},
		{"WATCHDOG=1", "WATCHDOG=1", false},
		{"WATCHDOG=trigger", "WATCHDOG=trigger", false},
		{"WATCHDOG=2\nWATCHDOG_USEC=-1", "", false},
		{"WATCHDOG_USEC=20", "WATCHDOG_USEC=20", false},
		{"WATCHDOG_USEC=30", "WATCHDOG_USEC=30", false},
		{"WATCHDOG_USEC=31", "", false}, // laxer than the manager's
		{"WATCHDOG_USEC=0", "", false},  // off
		{"WATCHDOG_USEC=", "", false},
		{"EXTEND_TIMEOUT_USEC=20", "EXTEND_TIMEOUT_USEC=20", false},
		{"EXTEND_TIMEOUT_USEC=20s", "", false},
		{"EXTEND_TIMEOUT_USEC=0", "", false},
		{"EXTEND_TIMEOUT_USEC=9223372036854775807", "EXTEND_TIMEOUT_USEC=600000000", false},
		{"EXTEND_TIMEOUT_USEC=18446744073709551615\nEXTEND_TIMEOUT_USEC=20", "EXTEND_TIMEOUT_USEC=20", false},
		{"EXTEND_TIMEOUT_USEC=600000000\nREADY=1\nEXTEND_TIMEOUT_USEC=20", "EXTEND_TIMEOUT_USEC=600000000\nREADY=1\nEXTEND_TIMEOUT_USEC=20\nMAINPID=42", true},
		{"ERRNO=2", "ERRNO=2", false},
		{"ERRNO=99999999999999999999", "", false},
		{"FDSTORE=1\nFDNAME=a\nFDPOLL=0\nFDSTOREREMOVE=1\nNOTIFYACCESS=all\nBUSERROR=a.b\nEXIT_STATUS=0\nX_MINE=1", "", false},
		{"BARRIER=1\nSTATUS=x", "STATUS=x", false},
		{"", "", false},
		{"\n\n=\n", "", false},
	} {
		n := &notifier{mainPid: 42, offset: 1000, watchdog: 30, patience: extension{left: extendLimit}}
		got, ready := n.translate(tc.text)
		if got != tc.want || ready != tc.ready {
			t.Errorf("translate(%q) = %q, %v; want %q, %v", tc.text, got, ready, tc.want, tc.ready)
		}
	}
}

// Whatever a container says, the manager hears lines of sd_notify(3) that are on the list, and nothing that steers a terminal.
func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{"READY=1\nSTATUS=x", "FDSTORE=1", "MONOTONIC_USEC=1", "STATUS=\x1b[2J\xff", "MAINPID=1\nMONOTONIC_USEC=5", "WATCHDOG=trigger\nERRNO=2", "STOPPING=1\nEXTEND_TIMEOUT_USEC=1"} {
		f.Add(seed)
	}
	line := regexp.MustCompile(`^((READY|RELOADING|STOPPING|WATCHDOG)=1|WATCHDOG=trigger|(ERRNO|EXTEND_TIMEOUT_USEC|WATCHDOG_USEC)=[0-9]{1,19}|MONOTONIC_USEC=[0-9]{1,19}|STATUS=\PC*|MAINPID=42)$`)
	f.Fuzz(func(t *testing.T, text string) {
		n := &notifier{mainPid: 42, offset: 1000, watchdog: 30, patience: extension{left: extendLimit}}
		answer, ready := n.translate(text)
		if answer == "" && !ready {
			return
		}
		for each := range strings.SplitSeq(answer, "\n") {
			if !line.MatchString(strings.Map(hideFormat, each)) {
				t.Errorf("%q of %q", each, text)
			}
		}
		if ready != strings.Contains("\n"+answer+"\n", "\nREADY=1\n") {
			t.Errorf("ready is %v after %q", ready, text)
		}
	})
}

// hideFormat takes characters of Unicode's class C that are no control characters for others: \PC knows no difference.
func hideFormat(r rune) rune {
	if unicode.Is(unicode.C, r) && !unicode.IsControl(r) {
		return 'x'
	}
	return r
}

// A manager that nobody has asked for a watchdog gets none.
func TestTranslateNoWatchdog(t *testing.T) {
	if got, _ := (&notifier{}).translate("WATCHDOG_USEC=1"); got != "" {
		t.Errorf("the manager is told %q", got)
	}
}

// Timeouts are kept off for ten minutes in all, however that is asked for.
func TestExtension(t *testing.T) {
	const second = 1_000_000
	start := time.Unix(1000, 0)
	for name, steps := range map[string][]struct{ at, asked, granted uint64 }{
		"at once":     {{0, 3600 * second, 600 * second}, {1, second, second}, {599, 2 * second, second}, {600, second, 0}},
		"overlapping": {{0, 30 * second, 30 * second}, {10, 30 * second, 30 * second}, {20, 30 * second, 30 * second}, {30, 600 * second, 570 * second}, {600, 1, 0}},
		"with gaps":   {{0, 300 * second, 300 * second}, {10000, 200 * second, 200 * second}, {20000, 200 * second, 100 * second}, {30000, second, 0}},
		"shorter":     {{0, 500 * second, 500 * second}, {0, 100 * second, 100 * second}, {100, 500 * second, 500 * second}, {600, second, 0}},
	} {
		e := extension{left: extendLimit}
		for _, s := range steps {
			if got := e.grant(s.asked, start.Add(time.Duration(s.at)*time.Second)); got != s.granted {
				t.Errorf("%s: after %d s %d µs of %d are granted, want %d", name, s.at, got, s.asked, s.granted)
			}
		}
		end := start.Add(24 * time.Hour)
		e.renew()
		if got := e.grant(700*second, end); got != 600*second {
			t.Errorf("%s: %d µs are granted to one that has become ready", name, got)
		}
		e.renew()
		if got := e.grant(second, end.Add(time.Hour)); got != 0 {
			t.Errorf("%s: %d µs are granted to one that says again that it is ready", name, got)
		}
	}
}

func TestIsBarrier(t *testing.T) {
	for text, want := range map[string]bool{"BARRIER=1": true, "BARRIER=1\n": true, "BARRIER=0": false, "BARRIER=1\nREADY=1": false, "": false} {
		if isBarrier(text) != want {
			t.Errorf("isBarrier(%q) = %v", text, !want)
		}
	}
}

func TestNotifyAddress(t *testing.T) {
	for name, want := range map[string]string{
		"/run/x": "", "@x": "", "": "neither an absolute path", "@": "neither", "/": "neither", "x": "neither", "vsock:1:2": "neither",
		"/" + strings.Repeat("x", 107): "too long",
	} {
		_, err := notifyAddress(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("notifyAddress(%q): %v, want %q", name, err, want)
		}
	}
}

func TestClockOffset(t *testing.T) {
	if got := clockOffset(os.Getpid()); got != 0 {
		t.Errorf("we are in the first time namespace, and ahead by %d µs", got)
	}
}
