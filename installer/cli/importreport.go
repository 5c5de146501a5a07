package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ss-setup/installer/machine"
	"ss-setup/installer/plan"
	"ss-setup/migrate/report"
)

// importReports are the names of reports, among the logs.
const importReports = "import-*"

// writeReports writes the report of the dry run where the logs are, and tells where.
// The import writes it there again, as what was done.
func (s *session) writeReports(r *report.Report) []string {
	if s.root != "" {
		return nil
	}
	dir := machine.SetupLogDir
	base := filepath.Join(dir, "import-"+time.Now().UTC().Format("20060102-150405"))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		s.warn(fmt.Sprintf("the report of the import cannot be written: %v", err))
		return nil
	}
	var written []string
	for _, suffix := range []string{".html", ".json", ".txt"} {
		if err := writeReport(base+suffix, r, os.O_EXCL); err != nil {
			s.warn(fmt.Sprintf("the report of the import cannot be written: %v", err))
			continue
		}
		written = append(written, base+suffix)
	}
	return written
}

// writeReport writes a report in the form that the file's name tells.
func writeReport(path string, r *report.Report, how int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|how, 0o600)
	if err != nil {
		return err
	}
	switch filepath.Ext(path) {
	case ".html":
		err = r.WriteHTML(f)
	case ".json":
		err = json.NewEncoder(f).Encode(r)
	default:
		err = r.WriteText(f)
	}
	return errors.Join(err, f.Close())
}

// notImported has the reports say again what an import would do: that of this run was put
// back.
func (s *session) notImported() {
	if s.judged == nil {
		return
	}
	for _, path := range s.m.Import.Reports {
		if err := writeReport(path, s.judged, os.O_TRUNC); err != nil {
			s.warn(fmt.Sprintf("%s says that something was imported, which was put back: %v", path, err))
		}
	}
}

// lossesShown is how many losses are told one by one.
const lossesShown = 20

// tellLosses tells what an import would do, and asks whether what it loses may be lost.
// byHand are the addresses at which sites serve that somebody has started: neither version
// starts them by itself.
func (s *session) tellLosses(ctx context.Context, r *report.Report, byHand []string) error {
	s.log.Info("dry run", "summary", r.Summary())
	text := "the import: " + r.Summary()
	if reports := s.m.Import.Reports; len(reports) > 0 {
		text += "; the report is in " + strings.Join(reports, ", ")
	}
	s.out.warn(text)
	losses := r.Losses()
	if len(losses)+len(byHand) == 0 {
		return nil
	}
	for _, address := range byHand {
		s.out.warn(fmt.Sprintf("users are served at %s by a site that is started by hand: version 7 does not start it, nor does version 6 if it comes back", address))
	}
	for i, l := range losses {
		if i == lossesShown {
			s.out.warn(fmt.Sprintf("and %d more", len(losses)-i))
			break
		}
		text := l.What
		if l.Kind != "" {
			text = fmt.Sprintf("%s %s: %s", l.Kind, l.Name, l.What)
		}
		s.out.warn(fmt.Sprintf("%s: %s", l.Outcome, text))
	}
	if s.imports.acceptDrops {
		s.log.Info("answered by accept_drops", "losses", len(losses))
		return nil
	}
	summary := lossSummary(r, byHand)
	explain := "They are listed above; the report tells the reasons and what to do."
	question := fmt.Sprintf("Lost or not as before: %s. Go on?", summary)
	if !s.somebody() {
		return &Failure{
			Exit: CheckFailed, Err: fmt.Errorf("nobody has agreed to what would be lost or not as before: %s; nothing was changed", summary),
			Cure: "look at the report; to go on all the same, put accept_drops: true into the answers, or run: " + s.command("--accept-drops"),
		}
	}
	s.out.emit(Event{Event: eventPrompt, Message: question, promptFields: &promptFields{Explain: explain}})
	yes, err := s.streams.Ask.ask(ctx, plan.Question{Text: question, Explain: explain})
	if err == nil && !yes {
		err = errCancelled
	}
	if err != nil {
		return &Failure{Exit: Cancelled, Err: fmt.Errorf("%w; nothing was changed", err)}
	}
	return nil
}

// lossSummary says of how many objects there are losses, and where sites serve that have to
// be started by hand.
func lossSummary(r *report.Report, byHand []string) string {
	var parts []string
	if lost := r.LossSummary(); lost != "" {
		parts = append(parts, lost)
	}
	if len(byHand) > 0 {
		parts = append(parts, "what serves at "+strings.Join(byHand, ", ")+" until somebody starts it")
	}
	return strings.Join(parts, ", and ")
}
