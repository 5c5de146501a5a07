package convert

import (
	"fmt"
	"slices"
	"strings"

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
	Until       Moment
	// NoRights are words for rights that are not known here.
	NoRights []string
	// Site is the one that an Admin belongs to here; Rights what may be done there.
	Site   string
	Rights model.Rights
}

// contact is what both have alike.
func (c *Conversion) contact(item *report.Item, a Admin) (out model.Contact) {
	out.Disabled = a.Disabled
	locks := locker{item, &out.Account}
	out.Email, out.Password = strings.TrimSpace(a.Email), c.password(item, a.Password, false)
	out.TOTP = c.totp(locks, a.TOTP)
	if a.Status != "" {
		locks.lock(report.NotUnderstood, fmt.Sprintf("its state %.40q is not known here", a.Status), "look at it and enable it")
	}
	var ok bool
	if out.AllowFrom, ok = networks(item, a.Allow); !ok {
		locks.lock(report.Lists, "nothing of its allow list can be read", "write the list anew and enable it")
	}
	locks.dates(Moment{}, a.Until)
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

// SuperAdmins takes over those of the source. Who has a name that this server's SuperAdmin
// has does not get in by it: who hands in a backup is not who rules the server.
func (c *Conversion) SuperAdmins(list []Admin) error {
	for _, contested := range []bool{false, true} {
		for _, a := range list {
			if Contested(a.Name) != contested {
				continue
			}
			if err := c.superAdmin(a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Conversion) superAdmin(a Admin) error {
	item := c.report.Item(report.SuperAdmin, "", a.Name)
	defer item.Done()
	name := FitName(a.Name)
	here := c.opt.SuperAdmin != nil && c.opt.SuperAdmin(name)
	if here && !c.opt.TakeSuperAdmins {
		item.Drop(report.Duplicates, "this server has a SuperAdmin of this name, who stays as is, with password and second factor", "import with --take-superadmins if the one of the backup is to come in the place")
		return nil
	}
	if !c.claim(model.KindSuperAdmin, "", name) {
		if !Contested(a.Name) {
			item.Lose(report.Dropped, report.Duplicates, "there is another SuperAdmin of this name", "make one of the two under another name")
			return nil
		}
		name = c.free(model.KindSuperAdmin, "", a.Name)
	}
	switch {
	case here:
		item.Lose(report.Changed, report.Rights, "it comes in the place of this server's SuperAdmin of this name", "make sure that both are one person")
	case c.opt.SuperAdmin != nil:
		item.Lose(report.Changed, report.Rights, "it rules this server from now on, besides those who did before", "take it away if it must not")
	}
	s := &model.SuperAdmin{Contact: c.contact(item, a)}
	if s.Name = name; s.Name != a.Name {
		item.Action(report.Names, fmt.Sprintf("it logs in as %q now", s.Name), "")
	}
	// Nobody can be written to there, and the field is required.
	return c.give(item, s, contactRepair(item, &s.Contact, "unknown@example.invalid"))
}

// Admins takes over the Admins of all sites. One of the same name and password in several
// sites is one Admin here.
func (c *Conversion) Admins(list []Admin) error {
	if len(list) > maxAdmins {
		return tooMany(maxAdmins, "Admins")
	}
	byName := map[string][]int{}
	for i, a := range list {
		byName[model.Fold(a.Name)] = append(byName[model.Fold(a.Name)], i)
	}
	done := map[int]bool{}
	var plain, contested [][]int
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
		if byName[model.Fold(list[i].Name)][0] != i || Contested(list[i].Name) {
			contested = append(contested, same)
		} else {
			plain = append(plain, same)
		}
	}
	for _, same := range append(plain, contested...) {
		if err := c.admin(list, same); err != nil {
			return err
		}
	}
	return nil
}

// sameAdmin tells whether two Admins are one: who knows the password of one may do what
// the other may.
func sameAdmin(a, b Admin) bool {
	return a.Password == b.Password && a.Password.Hash != "" && a.TOTP == b.TOTP && a.Disabled == b.Disabled && a.Status == b.Status && a.Until == b.Until &&
		slices.Equal(a.Allow, b.Allow) && slices.Equal(a.Rights.View, b.Rights.View) && slices.Equal(a.Rights.Edit, b.Rights.Edit)
}

func (c *Conversion) admin(list []Admin, same []int) error {
	first := list[same[0]]
	item := c.report.Item(report.Admin, first.Site, first.Name)
	defer item.Done()
	a := &model.Admin{Contact: c.contact(item, first), Rights: first.Rights}
	for _, i := range same {
		if !slices.Contains(a.Sites, list[i].Site) && c.hasSite(list[i].Site) {
			a.Sites = append(a.Sites, list[i].Site)
		}
		if i != same[0] {
			other := c.report.Item(report.Admin, list[i].Site, list[i].Name)
			other.Change(report.Duplicates, fmt.Sprintf("it is one with the Admin of site %s, with the rights in both", first.Site), "")
			other.Done()
		}
	}
	if len(first.NoRights) > 0 {
		unknownRights(item, first)
	}
	if len(a.Sites) == 0 {
		item.Drop(report.References, "its site is not there", "")
		return nil
	}
	if a.Name = FitName(first.Name); !c.claim(model.KindAdmin, "", a.Name) {
		a.Name = c.numbered(model.KindAdmin, "", FitName(fmt.Sprintf("%.40s@%s", first.Name, first.Site)), func(_ string, n int) string {
			return FitName(fmt.Sprintf("%.30s@%.20s-%d", first.Name, first.Site, n))
		})
	}
	if a.Name != first.Name {
		item.Action(report.Names, fmt.Sprintf("it logs in as %q now", a.Name), "tell it the new name")
	}
	return c.give(item, a, contactRepair(item, &a.Contact, ""))
}

// unknownRights tells which rights an Admin has not any more. One who has none left may do
// nothing, and that is a loss.
func unknownRights(item *report.Item, a Admin) {
	const cure = "give it the rights that it had"
	what := "rights of names that are not known here are not given: " + some(a.NoRights)
	if len(a.Rights.View)+len(a.Rights.Edit) == 0 {
		item.Lose(report.Action, report.Rights, what+"; it has no others, so it may do nothing", cure)
		return
	}
	item.Change(report.Rights, what, cure)
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
