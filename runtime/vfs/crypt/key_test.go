package crypt

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAKeyIsUnwrappedByWhatWrappedItAndNothingElse(t *testing.T) {
	key, err := NewKey()
	must(t, err)
	master, err := NewKey()
	must(t, err)
	byMaster, err := WrapByMaster(key, master)
	must(t, err)
	if got, err := byMaster.UnwrapByMaster(testKey, master); err != nil || got != key {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := byMaster.UnwrapByMaster(testKey); !errors.Is(err, ErrMaster) {
		t.Errorf("by another master key: %v", err)
	}
	impostor := mustKey(master.ID(), bytes.Repeat([]byte{3}, keySize))
	if _, err := byMaster.UnwrapByMaster(impostor); !errors.Is(err, ErrKeyDamaged) {
		t.Errorf("by a master key of the same name: %v", err)
	}
	byPhrase, err := WrapByPassphrase(key, "long enough")
	must(t, err)
	if got, err := byPhrase.UnwrapByPassphrase("long enough"); err != nil || got != key {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := byPhrase.UnwrapByPassphrase("Long enough"); !errors.Is(err, ErrPassphrase) {
		t.Errorf("by another passphrase: %v", err)
	}
	if _, err := byPhrase.UnwrapByMaster(master); !errors.Is(err, ErrNeedsPassphrase) {
		t.Errorf("by a master key where a passphrase is needed: %v", err)
	}
	if _, err := WrapByPassphrase(key, "short"); err == nil {
		t.Error("a short passphrase was taken")
	}
	byMaster.ID = strings.Repeat("00", idSize)
	if _, err := byMaster.UnwrapByMaster(master); !errors.Is(err, ErrKeyDamaged) {
		t.Errorf("under another name: %v", err)
	}
}

func TestAKeyPrintsAsItsNameOnly(t *testing.T) {
	secret := fmt.Sprintf("%x", testKey.Secret())
	for _, printed := range []string{fmt.Sprint(testKey), fmt.Sprintf("%+v", testKey), fmt.Sprintf("%#v", testKey), fmt.Sprintf("the %s", testKey)} {
		if strings.Contains(printed, secret) || !strings.Contains(printed, testKey.ID()) {
			t.Errorf("printed as %s", printed)
		}
	}
}
