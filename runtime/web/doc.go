// Package web is the pages of ss-server: the first-run wizard, the log-in, and the pages of
// SuperAdmins and Admins. They are rendered here from templates, work without JavaScript and
// ask nothing of any other host.
//
// Its promises: a page does nothing of its own - it reads and writes through rest.Visitor,
// so what may be seen, what is valid and what is told in the audit log is what REST says.
// Whatever is refused stands beside the field it concerns, and what was typed stays: after a
// mistake, after somebody else's change, after the end of a session. Every form carries a
// token of its session; no page has anything inline that a policy would have to allow.
//
// The parts: web.go has the routes, visit.go who asks, page.go and templates/ how a page
// looks, form.go and input.go what a form is, resource.go the list, the form and the deletion
// that every kind of object has, conflict.go what happens when two change one object. What is
// special to a kind stands in a file of its name. docs/architecture.md tells how a page is
// added.
package web
