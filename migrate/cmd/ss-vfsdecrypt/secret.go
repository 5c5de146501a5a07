package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// secret is the first line of a file, or what is typed at the terminal.
func secret(file, question string) (string, error) {
	if file == "" {
		return typed(question)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	line, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("the first line of %s is empty", file)
	}
	return string(line), nil
}

func typed(question string) (string, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", errors.New("nobody is there to ask for the " + strings.ToLower(strings.TrimSuffix(question, ": ")) + "; give it in a file")
	}
	fmt.Fprint(os.Stderr, question)
	text, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("read what is typed: %w", err)
	}
	return string(text), nil
}
