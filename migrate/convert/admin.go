package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ss-setup/migrate/report"
	"ss-setup/runtime/model"
)

// Admin is a SuperAdmin, or an Admin of sites.
type Admin struct {
	Name, Email string
	Password    Password
	TOTP        Secret
	Allow       []Network
	Disabled    bool
	Status      string
	Until       time.Time
	// Site is the one that an Admin belongs to here; Rights what may be done there.
	Site   string
	Rights model.Rights
}

// contact is what both have alike.
func (c *Conversion) contact(item *report.Item, a Admin) model.Contact {
	out := model.Contact{Email: strings.TrimSpace(a.Email), Password: c.password(item, a.Password), TOTP: c.totp(item, a.TOTP)}
	out.Disabled = a.Disabled
	lock := func(why, cure string) {
		item.Disable(report.Lists, why, cure)
		if !out.Disabled {
			out.Disabled, out.Reason = true, "import: "+why
		}
	}
	if a.Status != "" {
		lock(fmt.Sprintf("its state %.40q is not known here", a.Status), "look at it and enable it")
	}
	var ok bool
	if out.AllowFrom, ok = networks(item, a.Allow); !ok {
		lock("nothing of its allow list can be read", "write the list anew and enable it")
	}
	if !unknownTime(a.Until) {
		out.DisableFrom = a.Until
	}
	return out
}

// contactRepair leaves out an address that is none; without is what then stands there.
func contactRepair(item *report.Item, to *model.Contact, without string) func(model.FieldError) bool {
	return func(e model.FieldError) bool {
		switch e.Field {
		case "email":
			item.Action(report.NotValid, fmt.Sprintf("%.80q is not an e-mail address", to.Email), "give the address that a lost password is recovered with")
			to.Email = without
		case "password.hash":
			item.Action(report.Passwords, mustBeSet, setAgain)
			to.Password = model.Password{MustSet: true}
		default:
			return false
		}
		return true
	}
}

// SuperAdmin takes over a SuperAdmin.
func (c *Conversion) SuperAdmin(a Admin) error {
	item := c.report.Item(report.SuperAdmin, "", a.Name)
	defer item.Done()
	s := &model.SuperAdmin{Contact: c.contact(item, a)}
	s.Name = FitName(a.Name)
	if !c.claim(model.KindSuperAdmin, "", s.Name) {
		item.Drop(report.Duplicates, "there is another SuperAdmin of this name", "")
		return nil
	}
	if s.Name != a.Name {
		item.Action(report.Names, fmt.Sprintf("it logs in as %q now", s.Name), "")
	}
	// Nobody can be written to there, and the field is required.
	return c.give(item, s, contactRepair(item, &s.Contact, "unknown@example.invalid"))
}

// Admins takes over the Admins of all sites. One of the same name and password in several
// sites is one Admin here.
func (c *Conversion) Admins(list []Admin) error {
	byName := map[string][]int{}
	for i, a := range list {
		byName[model.Fold(a.Name)] = append(byName[model.Fold(a.Name)], i)
	}
	done := map[int]bool{}
	for i := range list {
		if done[i] {
			continue
		}
		var same []int
		for _, j := range byName[model.Fold(list[i].Name)] {
			if !done[j] && (i == j || sameAdmin(list[i], list[j])) {
				done[j] = true
				same = append(same, j)
			}
		}
		if err := c.admin(list, same); err != nil {
			return err
		}
	}
	return nil
}

// sameAdmin tells whether two Admins are one: who knows the password of one may do what
// the other may.
func sameAdmin(a, b Admin) bool {
	return a.Password == b.Password && a.Password.Hash != "" && a.TOTP == b.TOTP && a.Disabled == b.Disabled && a.Status == b.Status && a.Until.Equal(b.Until) &&
		slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Rights.View, b.Rights.View) && slices.Equal(a.Rights.Edit, b.Rights.Edit)
}

func (c *Conversion) admin(list []Admin, same []int) error {
	first := list[same[0]]
	item := c.report.Item(report.Admin, first.Site, first.Name)
	defer item.Done()
	a := &model.Admin{Contact: c.contact(item, first), Rights: first.Rights}
	for _, i := range same {
		if !slices.Contains(a.Sites, list[i].Site) && c.taken[nameKey{model.KindSite, "", list[i].Site}] {
			a.Sites = append(a.Sites, list[i].Site)
		}
		if i != same[0] {
			other := c.report.Item(report.Admin, list[i].Site, list[i].Name)
			other.Change(report.Duplicates, fmt.Sprintf("it is one with the Admin of site %s, with the rights in both", first.Site), "")
			other.Done()
		}
	}
	if len(a.Sites) == 0 {
		item.Drop(report.References, "its site is not there", "")
		return nil
	}
	a.Name = FitName(first.Name)
	for n := 1; !c.claim(model.KindAdmin, "", a.Name); n++ {
		a.Name = FitName(fmt.Sprintf("%.40s@%s", first.Name, first.Site))
		if n > 1 {
			a.Name = FitName(fmt.Sprintf("%.30s@%.20s-%d", first.Name, first.Site, n))
		}
	}
	if a.Name != first.Name {
		item.Action(report.Names, fmt.Sprintf("it logs in as %q now", a.Name), "tell it the new name")
	}
	return c.give(item, a, contactRepair(item, &a.Contact, ""))
}

// Mail is where mail is handed in.
type Mail struct {
	Host           string
	Port           int64
	TLS, StartTLS  bool
	User, From     string
	Password       Secret
	SessionMinutes int64
}

// Settings takes over the settings of the whole server.
func (c *Conversion) Settings(m Mail) error {
	item := c.report.Item(report.Settings, "", "")
	defer item.Done()
	s := &model.Settings{}
	s.Web.SessionMinutes = int(min(max(m.SessionMinutes, 0), 24*60))
	if m.Host != "" {
		s.Mail = model.MailSettings{Host: m.Host, Port: int(m.Port), User: oneLine(m.User), From: strings.TrimSpace(m.From), TLS: model.MailPlain}
		switch {
		case m.TLS:
			s.Mail.TLS = model.MailTLSOnly
		case m.StartTLS:
			s.Mail.TLS = model.MailStartTLS
		case m.Password.Set():
			item.Change(report.OtherSettings, "mail was handed in without encryption; it is encrypted now, lest the password is read on the way", "test it")
			s.Mail.TLS = model.MailStartTLS
		}
		switch {
		case m.Password.Sealed:
			item.Action(report.OtherSettings, "the password for the mail server cannot be read here", setAgain)
		case m.Password.Text != "":
			s.Mail.Password = model.Secret{Clear: m.Password.Text}
		}
	}
	return c.give(item, s, func(e model.FieldError) bool {
		if !strings.HasPrefix(e.Field, "mail.") {
			return false
		}
		if s.Mail.Host != "" {
			item.Action(report.OtherSettings, "the settings for mail cannot be as they were: "+e.Field+": "+e.Problem, "set them anew")
		}
		s.Mail = model.MailSettings{}
		return true
	})
}
