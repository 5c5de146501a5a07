package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ss-setup/runtime/audit"
	"ss-setup/runtime/config"
	"ss-setup/runtime/engine"
	"ss-setup/runtime/model"
	"ss-setup/runtime/tlscert"
	"ss-setup/runtime/tlscert/acme"
)

// follow takes the certificate from the settings of the model, unless the configuration
// file names one, and keeps to what they say. The certificate is opened after it.
func (o *operations) follow(e *engine.Engine) {
	o.mu.Lock()
	o.engine = e
	o.mu.Unlock()
	e.Listen(func(_ context.Context, changes []engine.Change) {
		for _, c := range changes {
			// Other settings leave a level alone that was set by hand.
			if c.Key.Kind == model.KindSettings && levelIn(c.Old) != levelIn(c.New) {
				o.levelChanged()
			}
		}
		if slices.ContainsFunc(changes, func(c engine.Change) bool {
			return c.Key.Kind == model.KindSettings || c.Key.Kind == model.KindCertificate && c.Key.Site == ""
		}) {
			o.certificateChanged()
			o.limitAudit()
		}
	})
	o.limitAudit()
	o.levelChanged()
}

func levelIn(o model.Object) string {
	if s, ok := o.(*model.Settings); ok {
		return s.Log.Level
	}
	return ""
}

// levelChanged takes over the level of the log from the settings.
func (o *operations) levelChanged() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.useLevel(o.config.Log.Level)
}

// useLevel sets the level of the log: that of the configuration file, else that of the
// settings, else the usual one. o.mu is held, but at the start.
func (o *operations) useLevel(level string) {
	if level == "" && o.engine != nil {
		s, err := o.settings()
		if err != nil {
			o.log.Error("the settings cannot be read; the log keeps its level", "error", err)
			return
		}
		level = s.Log.Level
	}
	o.level.Set(levelOf(level))
}

// settings are those of the model now.
func (o *operations) settings() (s *model.Settings, err error) {
	err = o.engine.Read(func(r *engine.Reader) (err error) {
		s, err = engine.CurrentSettings(r)
		return err
	})
	return s, err
}

// limitAudit bounds the audit log as the settings say.
func (o *operations) limitAudit() {
	s, err := o.settings()
	if err != nil {
		o.log.Error("the settings cannot be read; the audit log keeps its bounds", "error", err)
		return
	}
	limits := audit.DefaultLimits()
	if s.Log.MaxMB > 0 {
		limits.Size = int64(s.Log.MaxMB) << 20
	}
	if s.Log.MaxFiles > 0 {
		limits.Files = s.Log.MaxFiles
	}
	if s.Log.KeepDays > 0 {
		limits.KeepFor = time.Duration(s.Log.KeepDays) * 24 * time.Hour
	}
	o.audit.SetLimits(limits)
}

// snapshotHour is when the daily snapshot is made.
func (s *server) snapshotHour() int {
	settings, err := s.ops.settings()
	if err != nil || settings.Snapshots.Hour == 0 {
		return snapshotHour
	}
	return settings.Snapshots.Hour
}

// certificateChanged takes over what the model says now.
func (o *operations) certificateChanged() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keeper == nil || o.config.TLS.Cert != "" || o.config.TLS.ACME != nil {
		return
	}
	if err := o.useTLS(o.config.TLS); err != nil {
		o.log.Error("the certificate of the settings cannot be used; the one of before is served on", "error", err)
	}
}

// modelSource is the certificate that the settings of the model name; the self-signed one
// if they name none.
func (o *operations) modelSource(c config.TLS) (tlscert.Source, *acme.Manager, error) {
	self := tlscert.Source{Names: c.Names}
	var settings *model.Settings
	var cert *model.Certificate
	err := o.engine.Read(func(r *engine.Reader) (err error) {
		if settings, err = engine.CurrentSettings(r); err != nil || settings.Web.Certificate == "" {
			return err
		}
		cert, err = engine.Certificates.Get(r, "", settings.Web.Certificate)
		return err
	})
	if err != nil || cert == nil {
		return self, nil, err
	}
	switch {
	case cert.Type != model.CertACME && cert.Chain != "":
		pair, err := o.pair(cert)
		if err != nil {
			return self, nil, fmt.Errorf("certificate %s: %w", cert.Name, err)
		}
		return tlscert.Source{Fixed: &pair, Names: cert.Domains}, nil, nil
	case cert.Type == model.CertACME:
		// Who made the certificate of this type has taken the authority's terms.
		c = config.TLS{Names: cert.Domains, ACME: &config.ACME{
			AcceptTerms: true, Email: settings.ACME.Email, Directory: settings.ACME.Directory,
		}}
		m, err := o.authority(c)
		if err != nil {
			return self, nil, fmt.Errorf("certificate %s: %w", cert.Name, err)
		}
		return tlscert.Source{Issuer: m, Names: cert.Domains}, m, nil
	}
	self.Names = append(self.Names, cert.Domains...)
	return self, nil, nil
}

func (o *operations) pair(cert *model.Certificate) (tlscert.Pair, error) {
	key, err := o.engine.Reveal(cert.Key(), "private", cert.Private)
	if err != nil {
		return tlscert.Pair{}, err
	}
	pair, err := tlscert.Parse([]byte(cert.Chain), []byte(key))
	if err != nil {
		return tlscert.Pair{}, errors.New("chain and key do not fit, or cannot be read; paste both again")
	}
	return pair, nil
}
