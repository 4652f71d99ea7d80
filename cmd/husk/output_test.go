package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"husk/libct"
)

func TestList(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	f := &fake{list: []libct.ContainerState{
		{
			OCIVersion: "1.3.0", ID: "a", Pid: 7, Status: libct.Running, Bundle: "/b/größe", Rootfs: "/r",
			Created: created, Annotations: map[string]string{"y": "1", "x": "\"\n"}, Owner: "root",
		},
		{OCIVersion: "1.0.2", ID: "longer-than-a-column", Status: libct.Stopped, Bundle: "/b", Rootfs: "/r", Created: created, Owner: "#5"},
	}}
	_, table, _ := f.husk("list")
	want := "" +
		"ID                     PID         STATUS      BUNDLE      CREATED                        OWNER\n" +
		"a                      7           running     /b/größe    2026-01-02T03:04:05.0000006Z   root\n" +
		"longer-than-a-column   0           stopped     /b          2026-01-02T03:04:05.0000006Z   #5\n"
	if table != want {
		t.Errorf("table:\n%swant:\n%s", table, want)
	}
	if _, ids, _ := f.husk("list", "-q"); ids != "a\nlonger-than-a-column\n" {
		t.Errorf("ids: %q", ids)
	}
	_, line, _ := f.husk("list", "-f", "json")
	head := `[{"ociVersion":"1.3.0","id":"a","pid":7,"status":"running","bundle":"/b/größe","rootfs":"/r",` +
		`"created":"2026-01-02T03:04:05.0000006Z","annotations":{"x":"\"\n","y":"1"},"owner":"root"},{`
	if !strings.HasPrefix(line, head) || strings.Count(line, "\n") != 1 {
		t.Errorf("got %s want %s...", line, head)
	}
	var back []struct {
		ID          string
		Annotations map[string]string
	}
	if err := json.Unmarshal([]byte(line), &back); err != nil || len(back) != 2 || back[0].Annotations["x"] != "\"\n" {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestListWithoutRoot(t *testing.T) {
	f := &fake{err: fmt.Errorf("open state root: %w", fs.ErrNotExist)}
	if status, stdout, _ := f.husk("list", "-f", "json"); status != 0 || stdout != "[]\n" {
		t.Errorf("default root: status %d, %q", status, stdout)
	}
	if status, _, _ := f.husk("--root", "/missing", "list"); status != 1 {
		t.Errorf("missing --root: status %d", status)
	}
}

func TestFilterPs(t *testing.T) {
	for _, c := range []struct {
		output, want, err string
	}{
		{"UID PID CMD\nroot 1 init\nroot 12 a b\nroot 2 c\n", "UID PID CMD\nroot 12 a b\n", ""},
		{"  PID TTY\n   12 ?\n\n    1 ?", "  PID TTY\n   12 ?\n", ""},
		{"PID\n12", "PID\n12", ""},
		{"PPID CMD\n12 x\n", "", "couldn't find PID field in ps output"},
		{"", "", "couldn't find PID field in ps output"},
		{"PID\nx\n", "", `read the output of ps: "x" in column PID`},
		{"USER PID\nx\n", "", `read the output of ps: no PID in line "x\n"`},
	} {
		got, err := filterPs([]byte(c.output), []int{12, 99})
		text := ""
		if err != nil {
			text = err.Error()
		}
		if string(got) != c.want || text != c.err {
			t.Errorf("%q: got %q, %q", c.output, got, text)
		}
	}
}

func TestPs(t *testing.T) {
	if _, err := os.Stat("/bin/ps"); err != nil {
		t.Skip("there is no ps program here")
	}
	f := new(fake)
	status, stdout, stderr := f.husk("ps", "c1", "-e", "-o", "pid,comm")
	if status != 0 || stderr != "" || !strings.Contains(stdout, strconv.Itoa(os.Getpid())+" ") || strings.Count(stdout, "\n") > 3 {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	if status, _, stderr := f.husk("ps", "c1", "--no-such-option"); status != 1 || !strings.Contains(stderr, "run ps: exit status 1: ") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"9": 9, "0": 0, "64": 64, "KILL": 9, "SIGKILL": 9, "sigterm": 15, "Hup": 1,
		"SIGRTMIN": 34, "RTMIN+3": 37, "sigrtmin+15": 49, "SIGRTMAX": 64, "RTMAX-14": 50, "SIGRTMIN+30": 64, "RTMAX-30": 34,
	} {
		if got, err := parseSignal(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "65", "-1", "+9", "9 ", "4294967305", "SIG", "SIGSIGKILL", "KILLED", "1e1",
		"RTMIN+", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN3", "RTMIN++3", "RTMIN+-3",
	} {
		if got, err := parseSignal(text); err == nil {
			t.Errorf("%q is taken for signal %d", text, got)
		}
	}
}

func TestSpec(t *testing.T) {
	dir := t.TempDir()
	f := new(fake)
	if status, stdout, stderr := f.husk("spec", "--bundle", dir); status != 0 || stdout+stderr != "" {
		t.Fatalf("status %d, %q, %q", status, stdout, stderr)
	}
	path := filepath.Join(dir, "config.json")
	first, err := os.ReadFile(path)
	if err != nil || !json.Valid(first) {
		t.Fatalf("%v, %s", err, first)
	}
	status, _, stderr := f.husk("spec", "--rootless", "--bundle", dir)
	if status != 1 || stderr != "File config.json exists. Remove it first\n" {
		t.Errorf("over an existing file: status %d, %q", status, stderr)
	}
	if again, _ := os.ReadFile(path); string(again) != string(first) {
		t.Error("the existing file was changed")
	}
	os.Remove(path)
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := f.husk("spec", "-b", dir); status != 1 {
		t.Error("spec wrote through a symbolic link")
	}
	if status, _, stderr := f.husk("spec", "-b", dir+"/none"); status != 1 || !strings.Contains(stderr, "no such file") {
		t.Errorf("missing bundle: status %d, %q", status, stderr)
	}

	// A file that is named is replaced, as with crun.
	for _, file := range []string{"other.json", filepath.Join(dir, "other.json")} {
		if status, _, stderr := f.husk("spec", "-b", dir, "-f", file); status != 0 {
			t.Errorf("spec --file %s: status %d, %q", file, status, stderr)
		}
		if other, _ := os.ReadFile(filepath.Join(dir, "other.json")); string(other) != string(first) {
			t.Errorf("spec --file %s wrote %q", file, other)
		}
	}
}

// A full disk or a closed pipe must not look like success.
func TestAnswerLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer full.Close()
	var stderr strings.Builder
	f := new(fake)
	a := &app{name: "husk", stdout: full, stderr: &stderr, open: func(o libct.Options) (containers, error) { f.options = o; return f, nil }}
	if status := a.main([]string{"state", "c1"}); status != 1 || !strings.Contains(stderr.String(), unix.ENOSPC.Error()) {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}
