package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ss-setup/installer/bundle"
	"ss-setup/installer/bundle/trust"
	"ss-setup/packaging/release"
	"ss-setup/packaging/signing"
	"ss-setup/packaging/winget"
)

// publish signs bundles and makes everything that is put on a server.
func (c *command) publish(args []string) error {
	var p publishing
	var channel string
	f := c.flags()
	keys := f.String("keys", defaultKeys(), "folder of the keys")
	f.StringVar(&p.out, "out", "dist", "folder to write into")
	f.StringVar(&p.bin, "bin", "", "folder with the programs of each target, as linux-amd64/; for the SBOM")
	f.StringVar(&p.baseURL, "base-url", "", "address that the repository is published at; for the feed")
	f.StringVar(&channel, "channel", trust.Stable, "channel of the release")
	changelog := f.String("changelog", "CHANGELOG.md", "file of the release notes")
	previous := f.String("previous", "", "folders of bundles, with commas between, that patches are made from")
	keep := f.Int("keep", 0, "how many releases of a target stay signed; 0 for all")
	f.Func("mirror", "another address like --base-url that the one-liners ask (repeatable; commas between)", func(v string) error {
		p.mirrors = append(p.mirrors, listed(v)...)
		return nil
	})
	f.StringVar(&p.templates, "templates", "scripts/install", "folder with the templates of the one-liners")
	formats := f.String("packages", "", "packages to make of the bundles for Linux, as deb,rpm")
	f.StringVar(&p.maintainer, "maintainer", defaultMaintainer, "who answers for the packages")
	f.BoolVar(&p.wizards, "wizard", false, "make the wizard of bundles for Windows, too; with --bin")
	f.StringVar(&p.license, "license", "LICENSE", "file with the text that users of the wizard agree to")
	p.sign.flags(f)
	f.StringVar(&p.winget.ID, "winget-id", defaultWingetID, "identifier of the release for winget")
	f.StringVar(&p.winget.Publisher, "publisher", defaultPublisher, "who publishes the release, for winget")
	bundles := f.String("bundles", "", "folders of the bundles of this release, with commas between")
	if _, err := c.parse(f, args, 0); err != nil {
		return err
	}
	if p.wizards && p.bin == "" {
		return fmt.Errorf("%w: --wizard needs --bin", errUsage)
	}
	if *bundles == "" || channel != trust.Stable && channel != trust.Beta {
		return fmt.Errorf("%w: publish needs --bundles, and --channel stable or beta", errUsage)
	}
	p.vault, p.keep, p.formats = signing.Open(*keys), *keep, listed(*formats)
	if err := p.read(*changelog); err != nil {
		return err
	}
	var err error
	if p.old, err = bundlesIn(*previous); err != nil {
		return err
	}
	if p.now, err = bundlesIn(*bundles); err != nil {
		return err
	}
	if err := p.tools(); err != nil {
		return err
	}
	return p.run(c, channel)
}

// packed is a bundle on disk.
type packed struct {
	dir      string
	manifest bundle.Manifest
	digest   string
}

// listed is what is between the commas of a list.
func listed(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func bundlesIn(list string) ([]packed, error) {
	var out []packed
	for _, dir := range listed(list) {
		b, err := bundle.Open(dir)
		if err != nil {
			return nil, err
		}
		out = append(out, packed{dir, b.Manifest, b.Digest})
	}
	return out, nil
}

// publishing is one run of publish.
type publishing struct {
	vault    *signing.Vault
	out, bin string
	// baseURL and mirrors are where repository and archives will lie.
	baseURL    string
	mirrors    []string
	templates  string
	formats    []string
	maintainer string
	winget     winget.Options
	wizards    bool
	license    string
	sign       signature
	keep       int
	now, old   []packed
	entries    []release.Entry
	// made are the files that users download, by their names in out.
	made []string
}

func (p *publishing) read(changelog string) error {
	text, err := os.ReadFile(changelog)
	if err != nil {
		return err
	}
	p.entries, err = release.ParseChangelog(string(text))
	return err
}

func (p *publishing) run(c *command, channel string) error {
	site := filepath.Join(p.out, "repository")
	switch err := p.vault.CheckSite(site); {
	case errors.Is(err, signing.ErrOtherRoot):
		return fmt.Errorf("%w; or publish into another folder with --out, or delete this one if nobody is served from it", err)
	case err != nil && !errors.Is(err, signing.ErrNoRepository):
		return err
	}
	keys, err := keysOf(p.vault)
	if err != nil {
		return err
	}
	var all []signing.Publication
	for _, b := range p.now {
		entry, err := release.EntryOf(p.entries, b.manifest.Version)
		if err != nil {
			return err
		}
		when, err := released(entry)
		if err != nil {
			return err
		}
		patches, err := p.patches(b)
		if err != nil {
			return err
		}
		for _, patch := range patches {
			c.say("%s: patch from %s, %s", b.dir, patch.Info.From[:8], sizeOf(patch.File))
		}
		all = append(all, signing.Publication{
			Dir: b.dir, Info: trust.ReleaseInfo{Channel: channel, Released: when, Notes: entry.Notes}, Patches: patches,
		})
	}
	if err := signing.WriteFiles(site, all); err != nil {
		return err
	}
	if err := p.vault.Publish(all, p.keep); err != nil {
		return err
	}
	if err := p.vault.UpdateSite(site); err != nil {
		return err
	}
	for i, b := range p.now {
		if err := p.pack(b, all[i].Info.Released); err != nil {
			return err
		}
	}
	if err := p.feed(); err != nil {
		return err
	}
	if err := p.doors(c, channel); err != nil {
		return err
	}
	sums := sumsName(channel)
	if err := release.Sums(p.out, sums, p.made); err != nil {
		return err
	}
	c.say("%s: %d bundles, repository/, %s, signed with %s", p.out, len(p.now), sums, keys)
	return nil
}

// sumsName is the file of digests of a channel: what stable users check against is not
// overwritten by another channel's.
func sumsName(channel string) string {
	if channel == trust.Stable {
		return "SHA256SUMS"
	}
	return "SHA256SUMS-" + channel
}

// released is when a release says that it was made.
func released(e release.Entry) (time.Time, error) {
	when, err := release.SourceDate()
	if when.IsZero() {
		when = e.Date
	}
	return when, err
}

// patches makes what turns the old bundles of the same platform into this one.
func (p *publishing) patches(b packed) ([]signing.PatchFile, error) {
	var out []signing.PatchFile
	for _, old := range p.old {
		if old.manifest.OS != b.manifest.OS || old.manifest.Arch != b.manifest.Arch || old.digest == b.digest {
			continue
		}
		dir := filepath.Join(p.out, "patches", filepath.Base(b.dir), signing.PatchDir(old.digest))
		made, err := release.Patches(old.dir, b.dir, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, made...)
	}
	return out, nil
}

// pack puts the metadata into a bundle and makes its archive and SBOM.
func (p *publishing) pack(b packed, when time.Time) error {
	if err := p.vault.CopyMetadata(filepath.Join(b.dir, trust.MetadataDir)); err != nil {
		return err
	}
	name := filepath.Join(p.out, filepath.Base(b.dir))
	suffix := ".tar.gz"
	if b.manifest.OS == "windows" {
		suffix = ".zip"
	}
	if err := release.Archive(b.dir, name+suffix, when); err != nil {
		return err
	}
	p.made = append(p.made, filepath.Base(name+suffix))
	if p.bin == "" {
		return nil
	}
	programs, err := filepath.Glob(filepath.Join(p.bin, b.manifest.OS+"-"+b.manifest.Arch, "*"))
	if err != nil {
		return err
	}
	slices.Sort(programs)
	p.made = append(p.made, filepath.Base(name+".cdx.json"))
	return create(name+".cdx.json", func(w io.Writer) error { return release.SBOM(w, b.manifest.Version, when, programs) })
}

func (p *publishing) feed() error {
	f := release.Feed{Title: "SS Server", BaseURL: p.baseURL, Entries: p.entries}
	return create(filepath.Join(p.out, "repository", "releases.atom"), f.Write)
}

func create(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func sizeOf(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return "?"
	}
	return fmt.Sprintf("%d bytes", info.Size())
}

// announce tells an endpoint of a release.
func (c *command) announce(args []string) error {
	f := c.flags()
	address := f.String("url", "", "address to post to; {token} in it is replaced")
	body := f.String("body", "", "file with the template of the JSON that is posted")
	tokenFile := f.String("token-file", "", "file with the token; else SS_RELEASE_TOKEN")
	changelog := f.String("changelog", "CHANGELOG.md", "file of the release notes")
	version := f.String("version", "", "version to announce; else the newest")
	if _, err := c.parse(f, args, 0); err != nil {
		return err
	}
	if *address == "" {
		return fmt.Errorf("%w: announce needs --url", errUsage)
	}
	if strings.Contains(*address, "{token}") && *tokenFile == "" && os.Getenv("SS_RELEASE_TOKEN") == "" {
		return fmt.Errorf("%w: {token} in --url needs --token-file or SS_RELEASE_TOKEN", errUsage)
	}
	text, err := os.ReadFile(*changelog)
	if err != nil {
		return err
	}
	entries, err := release.ParseChangelog(string(text))
	if err != nil {
		return err
	}
	a := release.Announcement{URL: *address, Token: os.Getenv("SS_RELEASE_TOKEN"), Entry: entries[0]}
	if *version != "" {
		if a.Entry, err = release.EntryOf(entries, *version); err != nil {
			return err
		}
	}
	if *tokenFile != "" {
		token, err := os.ReadFile(*tokenFile)
		if err != nil {
			return err
		}
		a.Token = strings.TrimSpace(string(token))
	}
	if *body != "" {
		template, err := os.ReadFile(*body)
		if err != nil {
			return err
		}
		a.Body = string(template)
	}
	return a.Send(context.Background(), &http.Client{Timeout: time.Minute})
}

// signature says whose Authenticode signature programs get.
type signature struct {
	release.Authenticode
	// keys is the folder for a certificate of development, where none is given.
	keys string
}

func (s *signature) flags(f *flag.FlagSet) {
	f.StringVar(&s.keys, "development-keys", defaultKeys(), "folder for a certificate of development, where none is given")
	f.StringVar(&s.Cert, "cert", "", "certificate (PEM)")
	f.StringVar(&s.Key, "key", "", "its key (PEM)")
	f.StringVar(&s.CA, "ca", "", "authority that the signature must lead to; else the certificate itself")
	f.StringVar(&s.TimestampURL, "timestamp-url", "", "server for time stamps")
}

// authenticode is what signs, with a certificate of development where none is given.
func (s *signature) authenticode(c *command) (release.Authenticode, error) {
	a := s.Authenticode
	if (a.Cert == "") != (a.Key == "") {
		return a, fmt.Errorf("%w: a signature needs --cert with --key", errUsage)
	}
	if a.Cert != "" {
		return a, nil
	}
	c.say("signing with a certificate of development, which nobody trusts")
	var err error
	a.Cert, a.Key, err = release.DevelopmentCertificate(s.keys, time.Now())
	return a, err
}

// authenticode signs Windows programs.
func (c *command) authenticode(args []string) error {
	var sign signature
	f := c.flags()
	sign.flags(f)
	files := f.String("files", "", "programs, with commas between")
	if _, err := c.parse(f, args, 0); err != nil {
		return err
	}
	if *files == "" {
		return fmt.Errorf("%w: authenticode needs --files", errUsage)
	}
	a, err := sign.authenticode(c)
	if err != nil {
		return err
	}
	for _, file := range strings.Split(*files, ",") {
		if err := a.Sign(context.Background(), file); err != nil {
			return err
		}
		c.say("signed %s", file)
	}
	return nil
}
