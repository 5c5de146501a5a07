package web

import "testing"

func TestAPageMarksItsPlaceInTheNavigation(t *testing.T) {
	for at, want := range map[string]string{
		"/": "/", "/sites": "/sites", "/sites/main": "/sites", "/sites/main/hostkeys/x": "/sites", "/new/superadmins": "/superadmins",
		"/sites/main/users": "/users", "/sites/main/users/sessions": "/users", "/sites/main/new/users": "/users",
		"/sites/main/bulk-users": "/users", "/sites/main/import-users": "/users", "/sites/main/sessions": "/sessions",
		"/sites/users": "/sites", "/restore/1": "/restore", "/account": "/account",
	} {
		if got := area(at); got != want {
			t.Errorf("%s belongs to %s, want %s", at, got, want)
		}
	}
}
