package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

// restoreData is what the page shows that files are uploaded on.
type restoreData struct {
	Products []option
	Wrong    map[string]string
	Typed    map[string]string
	Take     bool
	Limit    int64
	Waiting  []arrival
}

// arrivalData is what the page of one file shows.
type arrivalData struct {
	arrival
	Path string
	// Heading says how far it is, Why what went wrong.
	Heading  string
	Why      string
	Products []option
	Report   template.HTML
	Total    int
	Wrong    map[string]string
}

// PickedFrom is what was said that the file is.
func (d restoreData) PickedFrom() string { return d.Typed["from"] }

// PickedNode is which node of the file was said to be this one.
func (d restoreData) PickedNode() string { return d.Typed["node"] }

// PickedNode is which node of the file was said to be this one.
func (d arrivalData) PickedNode() string { return d.Node }

// PickedFrom is what was said that the file is.
func (d arrivalData) PickedFrom() string { return d.From }

// Differs tells that more would be lost than was seen, so that it must be looked at again.
func (d arrivalData) Differs() bool { return d.State == stateFailed && d.Field == LossesField }

// Secrets tells that a passphrase or passwords were told before, and count still.
func (d restoreData) Secrets() bool { return false }

// Secrets tells that a passphrase or passwords were told before, and count still.
func (d arrivalData) Secrets() bool { return d.Passphrase != "" || len(d.Passwords) > 0 }

// Take tells whether the file's SuperAdmins are wanted.
func (d arrivalData) Take() bool { return d.TakeSuperAdmins }

// patience is how long an answer waits for a file to be looked at: most are small.
const patience = 1500 * time.Millisecond

// linesInPage is how many lines of each list of a report the page shows; the report to
// download has all.
const linesInPage = 100

func (p *Pages) restoreRoutes() {
	if p.Restorer == nil {
		return
	}
	p.page("GET /restore", super(p.restore))
	p.signedIn("POST /restore", p.readParts, super(p.upload))
	p.page("GET /restore/{id}", super(p.showArrival))
	p.page("POST /restore/{id}/look", super(p.lookAgain))
	p.page("POST /restore/{id}/import", super(p.putInForce))
	p.page("POST /restore/{id}/remove", super(p.removeArrival))
	p.page("GET /restore/{id}/{report}", super(p.downloadReport))
}

// super keeps a page for SuperAdmins.
func super(fn handler) handler {
	return func(v *visit) error {
		if err := v.who.NeedsSuper("restore", "back up or restore the server"); err != nil {
			return err
		}
		return fn(v)
	}
}

func (p *Pages) restore(v *visit) error {
	data := restoreData{Typed: map[string]string{}}
	if held := v.held(); held != nil {
		data.Typed["from"], data.Typed["node"], data.Take = held.Get("from"), held.Get("node"), held.Get("take") != ""
	}
	return v.showRestore(http.StatusOK, data)
}

func (v *visit) showRestore(status int, data restoreData) error {
	data.Products, data.Limit, data.Waiting = v.products(), v.uploadLimit(), v.Intake.list()
	return v.show(status, "restore", view{
		Title: "Restore", Lead: "Put a backup, or the configuration of an older version or another server, in the place of this one. You see first what would happen.", Data: data,
	})
}

// productNames are those of the products in words.
var productNames = map[string]string{
	"v7": "SS Server 7", "v6": "Version 6", "v45": "Version 4 or 5", "openssh": "OpenSSH", "sftpgo": "SFTPGo", "filezilla": "FileZilla Server",
	"proftpd": "ProFTPD", "vsftpd": "vsftpd", "vsftpd-logins": "vsftpd, a list of logins",
}

func (p *Pages) products() []option {
	list := []option{{Value: "", Text: "Tell by its content"}}
	for _, name := range p.Restorer.Products() {
		list = append(list, option{Value: name, Text: orText(productNames[name], name)})
	}
	return list
}

func (p *Pages) uploadLimit() int64 {
	if p.MaxUpload > 0 {
		return p.MaxUpload
	}
	return maxUpload
}

// upload takes a file and begins to look at it.
func (p *Pages) upload(v *visit) error {
	form := v.r.PostForm
	again := restoreData{Typed: map[string]string{"from": form.Get("from"), "node": form.Get("node")}, Take: form.Get("take") != "", Wrong: map[string]string{}}
	content, name := v.file()
	if content == nil {
		content = strings.NewReader("")
	}
	limit := p.uploadLimit()
	var (
		f   Incoming
		err error
	)
	if v.r.ContentLength > limit+maxForm {
		err = errTooLarge
	} else {
		f, err = p.Intake.receive(content, name, v.r.ContentLength, limit)
	}
	if err != nil {
		status, text := p.uploadFault(v.r, err, limit)
		again.Wrong["file"] = text
		return v.showRestore(status, again)
	}
	say(&f, form.Get, form["passwords.clear"])
	id, looked := p.Intake.add(f, v.who.Name())
	wait(looked)
	return v.redirect("/restore/"+id, "")
}

// uploadFault says beside the field why a file was not taken.
func (p *Pages) uploadFault(r *http.Request, err error, limit int64) (status int, text string) {
	if errors.Is(err, errTooLarge) || errors.Is(err, errIntakeFull) || errors.Is(err, errNoRoom) {
		// A browser shows an answer only when it was let finish, or is far from it.
		_, _ = io.CopyN(io.Discard, r.Body, limit)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge, "The file has more than " + size(limit) + ", which is the most that is taken here. Import it on the server instead: ss-server import FILE."
	case errors.Is(err, errEmpty), errors.Is(err, errIntakeFull):
		return http.StatusUnprocessableEntity, sentence(err.Error())
	case errors.Is(err, errNoRoom):
		return http.StatusInsufficientStorage, sentence(err.Error())
	}
	p.Log.Error("an upload could not be taken", "error", err)
	return http.StatusUnprocessableEntity, "The file did not come whole, or there is no room for it on the server. Nothing was changed; look at the disk, then send it again."
}

// say notes what the form tells of a file. No page shows what is secret, so what was told of
// that before stays where nothing is told now.
func say(f *Incoming, get func(string) string, passwords []string) {
	f.Node = strings.TrimSpace(cut(get("node"), 200))
	f.From, f.TakeSuperAdmins = get("from"), get("take") != ""
	f.Passphrase = orText(get("passphrase.clear"), f.Passphrase)
	var told []string
	for _, text := range passwords {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				told = append(told, line)
			}
		}
	}
	if told != nil {
		f.Passwords = told
	}
}

func wait(looked <-chan struct{}) {
	select {
	case <-looked:
	case <-time.After(patience):
	}
}

// arrivalHere is the file in the address.
func (v *visit) arrivalHere() (arrival, error) {
	a, ok := v.Intake.get(v.r.PathValue("id"))
	if !ok {
		return a, v.who.NotThere("the uploaded file", "it was removed, or nobody came back for it; upload it again")
	}
	return a, nil
}

func (p *Pages) showArrival(v *visit) error { return v.showFile(http.StatusOK, nil) }

func (v *visit) showFile(status int, wrong map[string]string) error {
	a, err := v.arrivalHere()
	if err != nil {
		return err
	}
	data := arrivalData{arrival: a, Path: "/restore/" + a.ID, Products: v.products(), Wrong: wrong, Heading: arrivalHeadings[a.State], Why: a.Wrong}
	if data.Wrong == nil {
		data.Wrong = map[string]string{}
	}
	if a.State == stateRefused {
		data.Wrong[orText(a.Field, "file")] = sentence(a.Wrong)
		if status == http.StatusOK && v.r.Header.Get("X-Part") == "" {
			status = http.StatusUnprocessableEntity
		}
	}
	if a.Outlook != nil {
		for _, c := range a.Outlook.Counts {
			data.Total += c.Count
		}
		if a.Outlook.Report != nil && a.State != stateDone {
			var out bytes.Buffer
			if err := a.Outlook.Report.WriteContent(&out, linesInPage); err != nil {
				return err
			}
			// It comes out of templates of html/template.
			data.Report = template.HTML(out.String())
		}
	}
	proof, err := v.proof()
	if err != nil {
		return err
	}
	return v.show(status, "arrival", view{Proof: proof, Title: "Uploaded file", Crumbs: []link{{Text: "Restore", Href: "/restore"}}, Data: data})
}

var arrivalHeadings = map[string]string{
	stateLooking: "It is being read.", stateRefused: "It cannot be used so. Nothing was changed.", stateReady: "This would happen. Nothing was changed yet.",
	statePutting: "The configuration is being replaced.", stateDone: "What it holds is in force.", stateFailed: "It is not in force.",
}

func (p *Pages) lookAgain(v *visit) error {
	if _, err := v.arrivalHere(); err != nil {
		return err
	}
	form := v.r.PostForm
	if looked, ok := p.Intake.again(v.r.PathValue("id"), func(f *Incoming) { say(f, form.Get, form["passwords.clear"]) }); ok {
		wait(looked)
	}
	return v.redirect("/restore/"+v.r.PathValue("id"), "")
}

// putInForce does what the page of the file told, if everything was agreed to.
func (p *Pages) putInForce(v *visit) error {
	a, err := v.arrivalHere()
	if err != nil {
		return err
	}
	form, wrong := v.r.PostForm, map[string]string{}
	if a.Seen != form.Get("seen") {
		wrong["losses"] = "The file was looked at anew since the page was shown. Look again at what would happen."
	} else if a.Outlook != nil && a.Outlook.Losses != "" && form.Get("accept") == "" {
		wrong["losses"] = "Tick this if what is lost may be lost."
	}
	if form.Get("replace") == "" {
		wrong["replace"] = "Tick this if what is configured here may be replaced."
	}
	if len(wrong) > 0 {
		return v.showFile(http.StatusUnprocessableEntity, wrong)
	}
	if ok, err := v.prove(); err != nil {
		return err
	} else if !ok {
		return v.showFile(http.StatusUnprocessableEntity, nil)
	}
	if err := p.Intake.put(a.ID, form.Get("seen"), v.who.Name(), v.who.From().String()); errors.Is(err, errOtherPut) {
		return v.showFile(http.StatusConflict, map[string]string{"replace": sentence(err.Error())})
	}
	return v.redirect("/restore/"+a.ID, "")
}

func (p *Pages) removeArrival(v *visit) error {
	p.Intake.discard(v.r.PathValue("id"))
	return v.redirect("/restore", "removed")
}

// downloadReport gives the whole report of an import, as a page, text or JSON.
func (p *Pages) downloadReport(v *visit) error {
	a, err := v.arrivalHere()
	if err != nil {
		return err
	}
	name := v.r.PathValue("report")
	if a.Outlook == nil || a.Outlook.Report == nil {
		return v.who.NotThere("the report", "a backup of version 7 is restored as it is")
	}
	var out bytes.Buffer
	media := ""
	switch name {
	case "report.html":
		media, err = "text/html; charset=utf-8", a.Outlook.Report.WriteHTML(&out)
	case "report.txt":
		media, err = "text/plain; charset=utf-8", a.Outlook.Report.WriteText(&out)
	case "report.json":
		media, err = "application/json", json.NewEncoder(&out).Encode(a.Outlook.Report)
	default:
		return v.who.NotThere("the report", "it is there as report.html, report.txt and report.json")
	}
	if err != nil {
		return err
	}
	// It is never shown as a page of this server.
	v.w.Header().Set("Content-Disposition", `attachment; filename="import-`+name+`"`)
	v.w.Header().Set("Content-Type", media)
	_, _ = v.w.Write(out.Bytes())
	return nil
}
