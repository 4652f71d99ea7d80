package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script writes what husk prints to a file and returns its path, or skips if the program that reads it is not installed.
func script(t *testing.T, reader string, args ...string) (path, text string) {
	t.Helper()
	if _, err := exec.LookPath(reader); err != nil {
		t.Skip(reader + " is not installed")
	}
	status, text, stderr := new(fake).husk(args...)
	if status != 0 || stderr != "" {
		t.Fatalf("%v: status %d, %q", args, status, stderr)
	}
	path = filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// silent runs a program that prints something only where it finds fault.
func silent(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// Everything that --help shows is in the manual page and in each completion, and nothing else.
func TestGeneratedFromTheTables(t *testing.T) {
	a := &app{name: "husk"}
	commands := a.commands()
	for _, args := range [][]string{{"man"}, {"completion", "bash"}, {"completion", "fish"}, {"completion", "zsh"}} {
		_, text, _ := new(fake).husk(args...)
		text = strings.ReplaceAll(text, `\-`, "-")
		for _, c := range commands {
			if strings.Contains(text, c.name) == c.hidden {
				t.Errorf("%v: %s is hidden: %v, the text says otherwise", args, c.name, c.hidden)
			}
			for i := range c.flags {
				name := "--" + c.flags[i].name
				if args[len(args)-1] == "fish" {
					name = "-l " + c.flags[i].name + " "
				}
				if !c.flags[i].hidden && !strings.Contains(text, name) {
					t.Errorf("%v: no %s of %s", args, name, c.name)
				}
			}
		}
		if strings.Contains(text, "kernel-memory") {
			t.Errorf("%v shows a hidden option", args)
		}
	}
	if status, _, stderr := new(fake).husk("completion", "csh"); status != 1 || !strings.Contains(stderr, `"csh": want bash, fish or zsh`) {
		t.Errorf("completion csh: status %d, %q", status, stderr)
	}
}

func TestBashCompletion(t *testing.T) {
	path, _ := script(t, "bash", "completion", "bash")
	silent(t, "bash", "-n", path)
	if _, err := exec.LookPath("shellcheck"); err == nil {
		silent(t, "shellcheck", "--shell=bash", path)
	}
	// The program that is asked for ids is a function here, whose answer shows what it was called with.
	const driver = `source "$1"
husk() { [[ $* == *"list --quiet" ]] && printf '%s\n' c1 c2 "root${2//[^a-z]/}"; }
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_husk
echo "${COMPREPLY[*]}"`
	for _, c := range []struct{ line, want string }{
		{"husk cr", "create"},
		{"husk st", "start state stats"},
		{"husk --debug --root /x ch", ""},
		{"husk --root /x li", "list"},
		{"husk --root = /x li", "list"},
		{"husk --root li", ""},
		{"husk --sys", "--systemd-cgroup"},
		{"husk kill c", "c1 c2"},
		{"husk kill c1 c", ""},
		{"husk mounts a", "add"},
		{"husk mounts add c", "c1 c2"},
		{"husk mounts add c1 a", ""},
		{"husk --root /run/x start r", "rootrunx"},
		{"husk stats c1 c", "c1 c2"},
		{"husk create c", ""},
		{"husk create --bundle c", ""},
		{"husk create --bundle /b --pid", "--pid-file --pidfd-socket"},
		{"husk exec --user 1 c", "c1 c2"},
		{"husk exec -u 1 --ad", "--additional-gids"},
		{"husk help feat", "features"},
		{"husk completion f", "fish"},
	} {
		words := strings.Fields(c.line)
		out, err := exec.Command("bash", append([]string{"--norc", "-c", driver, "bash", path}, words...)...).CombinedOutput()
		got := strings.Fields(string(out))
		if err != nil || !sameWords(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, %q, want %q", c.line, err, got, c.want)
		}
	}
}

func TestZshCompletion(t *testing.T) {
	path, _ := script(t, "zsh", "completion", "zsh")
	silent(t, "zsh", "-n", path)
}

func TestFishCompletion(t *testing.T) {
	path, _ := script(t, "fish", "completion", "fish")
	silent(t, "fish", "-n", path)
	for _, c := range []struct{ line, want string }{
		{"husk cr", "create"},
		{"husk --root /x li", "list"},
		{"husk create --pid", "--pid-file --pidfd-socket"},
		{"husk completion f", "fish"},
	} {
		cmd := exec.Command("fish", "--no-config", "-c", "source "+path+"; complete -C'"+c.line+"'")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var got []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, word)
		}
		if err != nil || !sameWords(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, %q, want %q", c.line, err, out, c.want)
		}
	}
}

func TestManualPage(t *testing.T) {
	path, text := script(t, "groff", "man")
	silent(t, "groff", "-man", "-ww", "-z", path)
	out, err := exec.Command("groff", "-man", "-Tascii", "-P-cbou", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"husk - Open Container", "husk run <container-id>", "--bundle string, -b string", `sed -i 's;"sh";"/hello";' config.json`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Contains(text, "\n\n") {
		t.Error("an empty line is a paragraph only by accident")
	}
}

// sameWords compares without regard to order.
func sameWords(a, b []string) bool {
	count := map[string]int{}
	for _, word := range a {
		count[word]++
	}
	for _, word := range b {
		count[word]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}
