package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/tpu"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the Edge TPUs that are plugged in",
		Description: `The first column is what --device takes. A device in boot mode is given its
firmware when it is first used.

Examples:
   imprint devices
   imprint devices --json`,
		Flags:  []cli.Flag{jsonFlag("the devices")},
		Action: listDevices,
	}
}

func listDevices(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	bus, err := usb(c)()
	if err != nil {
		return err
	}
	defer bus.Close()
	list, err := tpu.List(c.Context, bus)
	if err != nil {
		return err
	}
	type row struct {
		Device string `json:"device"`
		State  string `json:"state"`
		ID     string `json:"id"`
		Speed  string `json:"speed"`
	}
	rows := []row{}
	for _, info := range list {
		r := row{"usb:" + info.Port.String(), "firmware runs", fmt.Sprintf("%04x:%04x", info.Vendor, info.Product), info.Speed.String()}
		if info.Boot() {
			r.State = "boot mode"
		}
		rows = append(rows, r)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, rows)
	}
	if len(rows) == 0 {
		return hinted{tpu.ErrNoDevice, "imprint doctor says what to do"}
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Device, r.State, r.ID, r.Speed)
	}
	return t.Flush()
}
