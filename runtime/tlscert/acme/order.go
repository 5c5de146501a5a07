package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/acme"

	"ss-setup/runtime/tlscert"
)

// obtain gets a certificate and puts it on disk. What it returns has been checked.
func (m *Manager) obtain(ctx context.Context) (tlscert.Pair, error) {
	ctx, cancel := context.WithTimeout(ctx, orderLimit)
	defer cancel()
	client, err := m.client()
	if err != nil {
		return tlscert.Pair{}, err
	}
	defer client.HTTPClient.CloseIdleConnections()
	if err := m.register(ctx, client); err != nil {
		return tlscert.Pair{}, err
	}
	order, err := m.authorized(ctx, client)
	if err != nil {
		return tlscert.Pair{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tlscert.Pair{}, fmt.Errorf("make a key: %w", err)
	}
	chain, err := finish(ctx, client, order, key, m.opt.Names)
	if err != nil {
		return tlscert.Pair{}, err
	}
	return m.store.put(chain, key, m.opt.Names, m.opt.Now())
}

// register makes the account, or finds that it is there.
func (m *Manager) register(ctx context.Context, client *acme.Client) error {
	account := &acme.Account{}
	if m.opt.Email != "" {
		account.Contact = []string{"mailto:" + m.opt.Email}
	}
	if m.opt.KeyID != "" {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: m.opt.KeyID, Key: m.opt.MACKey}
	}
	_, err := client.Register(ctx, account, func(string) bool { return m.opt.AcceptTerms })
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("make an account at %s: %w", m.opt.Directory, err)
	}
	return nil
}

// authorized opens an order and proves every name of it.
func (m *Manager) authorized(ctx context.Context, client *acme.Client) (*acme.Order, error) {
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(m.opt.Names...))
	if err != nil {
		return nil, fmt.Errorf("order a certificate: %w", err)
	}
	for _, address := range order.AuthzURLs {
		if err := m.authorize(ctx, client, address); err != nil {
			return nil, err
		}
	}
	order, err = client.WaitOrder(ctx, order.URI)
	if err != nil {
		return nil, fmt.Errorf("wait for the order: %w", err)
	}
	return order, nil
}

func (m *Manager) authorize(ctx context.Context, client *acme.Client, address string) error {
	authz, err := client.GetAuthorization(ctx, address)
	if err != nil {
		return fmt.Errorf("ask how to prove a name: %w", err)
	}
	if authz.Status == acme.StatusValid {
		return nil
	}
	name := authz.Identifier.Value
	challenge, err := m.pick(authz)
	if err != nil {
		return err
	}
	withdraw, err := m.prepare(client, challenge, name)
	if err != nil {
		return fmt.Errorf("prove %s: %w", name, err)
	}
	defer withdraw()
	if _, err := client.Accept(ctx, challenge); err != nil {
		return fmt.Errorf("prove %s: %w", name, err)
	}
	if _, err := client.WaitAuthorization(ctx, authz.URI); err != nil {
		return m.explain(name, err)
	}
	return nil
}

func (m *Manager) pick(authz *acme.Authorization) (*acme.Challenge, error) {
	var offered []string
	for _, c := range authz.Challenges {
		if c.Type == m.opt.Challenge {
			return c, nil
		}
		offered = append(offered, c.Type)
	}
	return nil, fmt.Errorf("the authority does not take %s for %s, only %v; change the setting challenge", m.opt.Challenge, authz.Identifier.Value, offered)
}

// prepare makes ready what the authority will look for.
func (m *Manager) prepare(client *acme.Client, c *acme.Challenge, name string) (withdraw func(), err error) {
	if m.opt.Challenge == TLSALPN01 {
		proof, err := client.TLSALPN01ChallengeCert(c.Token, name)
		if err != nil {
			return nil, err
		}
		return m.proofs.addCertificate(name, &proof), nil
	}
	text, err := client.HTTP01ChallengeResponse(c.Token)
	if err != nil {
		return nil, err
	}
	return m.proofs.addFile(client.HTTP01ChallengePath(c.Token), text)
}

// explain tells what the authority saw, and what usually is in the way.
func (m *Manager) explain(name string, err error) error {
	port := "80"
	if m.opt.Challenge == TLSALPN01 {
		port = "443"
	}
	var refused *acme.AuthorizationError
	if errors.As(err, &refused) && len(refused.Errors) > 0 {
		err = errors.Join(refused.Errors...)
	}
	return fmt.Errorf("the authority could not see that %s is this server: %w; its name must lead here and port %s be reachable from the authority", name, err, port)
}

// finish asks for the certificate of a proved order. The answer is the chain, the
// server's own certificate first.
func finish(ctx context.Context, client *acme.Client, order *acme.Order, key crypto.Signer, names []string) ([][]byte, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return nil, fmt.Errorf("make the request for a certificate: %w", err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, fmt.Errorf("fetch the certificate: %w", err)
	}
	return chain, nil
}
