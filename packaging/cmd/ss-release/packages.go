package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"ss-setup/packaging/packages"
)

const packagesUsage = `  ss-release packages --bundle DIR --out DIR [--formats deb,rpm] [--maintainer 'NAME <ADDRESS>']
                    (times in them: $SOURCE_DATE_EPOCH)
`

// makePackages makes the deb and the rpm of a bundle.
func makePackages(args []string, stdout, stderr io.Writer) int {
	var o packages.Options
	var formats string
	f := flag.NewFlagSet("packages", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, "usage:\n"+packagesUsage) }
	f.StringVar(&o.Bundle, "bundle", "", "folder of the bundle")
	f.StringVar(&o.Out, "out", "", "folder to write the packages into")
	f.StringVar(&formats, "formats", strings.Join(packages.Formats, ","), "which packages to make")
	f.StringVar(&o.Maintainer, "maintainer", defaultMaintainer, "who answers for the packages")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if f.NArg() > 0 {
		fmt.Fprintf(stderr, "ss-release: packages takes flags only, not %q\n%s", f.Arg(0), "usage:\n"+packagesUsage)
		return 2
	}
	o.Formats = strings.Split(formats, ",")
	var err error
	if o.Time, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH")); err == nil {
		var made []string
		made, err = packages.Build(context.Background(), o)
		for _, file := range made {
			fmt.Fprintln(stdout, file)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "ss-release: %v\n", err)
		return 1
	}
	return 0
}

// sourceDate reads SOURCE_DATE_EPOCH; none is the zero time.
func sourceDate(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q; it is a number of seconds since 1970", text)
	}
	return time.Unix(n, 0).UTC(), nil
}
