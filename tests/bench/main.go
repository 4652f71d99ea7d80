// Bench times the commands of container runtimes in turn and compares them with the kernel's own price of a container
// (floor/floor.c) and with each other. tests/bench/run starts it.
//
// On a machine that does other things as well a time means little, so every round times floor and then each runtime once,
// and what counts is the median of the ratios within the rounds.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// options of the command line.
type options struct {
	rounds            int
	only              *regexp.Regexp
	husk, floor, work string
}

// warmUp is the number of rounds that are not counted: caches are cold, the first filter has to be compiled.
const warmUp = 3

func main() {
	var o options
	var only string
	flag.IntVar(&o.rounds, "n", 40, "counted rounds")
	flag.StringVar(&only, "only", ".", "measure what matches the regular expression")
	flag.StringVar(&o.husk, "husk", "bin/husk", "the runtime that is under test")
	flag.StringVar(&o.floor, "floor", "build/floor", "the program of floor.c")
	flag.StringVar(&o.work, "work", "", "a directory with a root file system in rootfs/, and run/ for states")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(only); err == nil {
		err = bench(&o, flag.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o *options, named []string) error {
	// The processes of containers become our children: waiting for them is exact, and needs no command of the runtime.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	fmt.Printf("Linux %s, %d rounds, cgroup v2 alone\n", unix.ByteSliceToString(uname.Release[:]), o.rounds)
	for _, filtered := range []bool{false, true} {
		bundle := filepath.Join(o.work, map[bool]string{false: "plain", true: "filtered"}[filtered])
		if err := makeBundles(o, bundle, filtered); err != nil {
			return err
		}
		fmt.Printf("\n## %s\n", map[bool]string{false: "Without a seccomp profile", true: "With Docker's default seccomp profile"}[filtered])
		runtimes := usable(o, bundle, named)
		for _, m := range measures {
			if !o.only.MatchString(m.name) {
				continue
			}
			if err := m.run(o, bundle, runtimes); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}

// usable lists husk and those of the others that run a container here, with their versions.
func usable(o *options, bundle string, named []string) []*program {
	list := []*program{{name: "husk", path: o.husk}}
	if len(named) == 0 {
		named = []string{"crun=crun", "runc=runc"}
	}
	for _, n := range named {
		name, path, _ := strings.Cut(n, "=")
		list = append(list, &program{name: name, path: path})
	}
	var good []*program
	for _, p := range list {
		full, err := exec.LookPath(p.path)
		if err == nil {
			p.path, p.root, p.bundle = full, filepath.Join(o.work, "run", p.name), bundle
			err = p.trial()
		}
		if err != nil {
			fmt.Printf("%s: skipped: %v\n", p.name, err)
			continue
		}
		version, _ := exec.Command(p.path, "--version").Output()
		lines := strings.Split(strings.TrimSpace(string(version)), "\n")
		fmt.Printf("%s: %s (%s)\n", p.name, p.path, strings.Join(lines[:min(2, len(lines))], ", "))
		good = append(good, p)
	}
	return good
}
