package machine

import "testing"

func TestAServicesIdentifierIsTheOneThatWindowsMakes(t *testing.T) {
	// Documented for TrustedInstaller, the best known of all.
	const want = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	if got := ServiceSID("TrustedInstaller"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAccessListsNameSystemAdministratorsAndServicesAlone(t *testing.T) {
	server := ServiceSID("ss-server")
	for want, folder := range map[string]Folder{
		"O:BAD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)":                                   {},
		"O:BAD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)(A;OICI;0x1301bf;;;" + server + ")": {Writers: []string{"ss-server"}},
		"O:BAD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)(A;OICI;0x1200a9;;;" + server + ")": {Readers: []string{"ss-server"}},
		"O:BAD:PAI(A;OICI;0x1f01ff;;;SY)(A;OICI;0x1f01ff;;;BA)(A;;0x1200a9;;;BU)":                 {Passable: true},
	} {
		if got := folder.List(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
