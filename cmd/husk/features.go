package main

import (
	"husk/libct"
	"husk/specconv"
)

func (a *app) featuresCommand() *command {
	return &command{
		name:    "features",
		summary: "print what this runtime supports",
		details: `Prints what is supported, as JSON in the form that features.md of the OCI runtime specification
gives it. It says nothing about the machine, except for the seccomp flags that its kernel takes.`,
		run: func([]string) (int, error) {
			features := specconv.Features()
			features.Linux.Seccomp = libct.SeccompFeatures()
			features.Annotations = map[string]string{
				"husk.version": version,
				"husk.commit":  commit,
				// Engines look for this one before they offer checkpoints.
				"org.opencontainers.runc.checkpoint.enabled": "false",
				"io.github.seccomp.libseccomp.version":       libct.SeccompVersion(),
			}
			return a.print(specconv.EncodeFeatures(features))
		},
	}
}
