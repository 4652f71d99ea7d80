package libct

import (
	"os"

	"husk/internal/resctrl"
)

// prepareResctrl finds out which groups of the resctrl file system the container gets, for the record.
func (k *creation) prepareResctrl() (err error) {
	if rdt := k.spec.Linux.IntelRdt; rdt != nil {
		k.c.rec.Resctrl, err = resctrl.Prepare(rdt, k.o.ID)
	}
	return err
}

// makeResctrl makes those groups. The process enters them by itself.
func (k *creation) makeResctrl() error {
	rdt, g := k.spec.Linux.IntelRdt, &k.c.rec.Resctrl
	if rdt == nil {
		return nil
	}
	if err := g.Make(rdt); err != nil {
		return err
	}
	k.resctrl = g
	stopPoint("resctrl-made")
	tasks, err := g.Tasks()
	k.inputs = append(k.inputs, tasks...)
	k.host.Resctrl = names(tasks)
	return err
}

func names(files []*os.File) (list []string) {
	for _, f := range files {
		list = append(list, f.Name())
	}
	return list
}

// removeResctrl removes the groups that go with the container.
func (c *container) removeResctrl() error {
	if c.rec.Resctrl.Path == "" {
		return nil
	}
	if same, err := c.sameBoot(); err != nil || !same {
		return err
	}
	if err := c.rec.Resctrl.Remove(); err != nil {
		return err
	}
	stopPoint("resctrl-removed")
	return nil
}
