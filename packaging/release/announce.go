package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/template"
	"time"
)

// Announcement tells an endpoint of the operator's of a release: a webhook, or the
// address of a bot.
type Announcement struct {
	// URL may hold {token}. Body is a template (text/template) of JSON with the fields
	// .Version, .Date and .Notes; its function json quotes.
	URL, Body string
	// Token is put into the URL; where that has no place for it, it is sent as a
	// bearer token. It is in no message and no error.
	Token string
	Entry Entry
}

// StandardBody suits bots that take a message as "text".
const StandardBody = `{"text": {{json (printf "SS Server %s (%s)\n\n%s" .Version .Date .Notes)}}}`

// Send posts the announcement.
func (a Announcement) Send(ctx context.Context, client *http.Client) error {
	body, err := a.body()
	if err != nil {
		return err
	}
	address := strings.ReplaceAll(a.URL, "{token}", url.PathEscape(a.Token))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("announce: the address is not one: " + a.URL)
	}
	if req.URL.Scheme != "https" && !isLoopback(req.URL.Hostname()) {
		return fmt.Errorf("announce: %s is not https, and the token would be sent in clear", a.URL)
	}
	req.Header.Set("Content-Type", "application/json")
	if a.Token != "" && !strings.Contains(a.URL, "{token}") {
		req.Header.Set("Authorization", "Bearer "+a.Token)
	}
	// Nobody is followed elsewhere: the token may be in the address, which the next
	// server would be told as the one that referred to it.
	alone := *client
	alone.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := alone.Do(req)
	if err != nil {
		return fmt.Errorf("announce to %s: %w", a.URL, a.hide(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("announce to %s: it answers %s: %w", a.URL, resp.Status, a.hide(errors.New(string(said))))
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host) // and no name that only begins like one
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// hide leaves the token out of an error.
func (a Announcement) hide(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the address is told without the token already
	}
	if a.Token == "" {
		return err
	}
	return errors.New(strings.NewReplacer(a.Token, "TOKEN", url.PathEscape(a.Token), "TOKEN").Replace(err.Error()))
}

func (a Announcement) body() ([]byte, error) {
	text := a.Body
	if text == "" {
		text = StandardBody
	}
	quote := func(v any) (string, error) {
		out, err := json.Marshal(v)
		return string(out), err
	}
	t, err := template.New("body").Funcs(template.FuncMap{"json": quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("announce: read the body: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]string{
		"Version": a.Entry.Version, "Date": a.Entry.Date.Format(time.DateOnly), "Notes": a.Entry.Notes,
	})
	if err != nil {
		return nil, fmt.Errorf("announce: fill in the body: %w", err)
	}
	if !json.Valid(out.Bytes()) {
		return nil, errors.New("announce: what the body gives is no JSON; quote the fields with json, as {{json .Notes}}")
	}
	return out.Bytes(), nil
}
