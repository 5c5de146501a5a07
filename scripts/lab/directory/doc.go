// Package directory tests the log-in by LDAP against OpenLDAP's slapd from Debian, run
// for the test on a loopback port: in the clear, by StartTLS and by LDAPS.
package directory
