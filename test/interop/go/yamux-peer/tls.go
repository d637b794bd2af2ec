package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

const serverName = "yamux-peer"

// identity is a certificate that nobody keeps, and its key, as the test wants them.
type identity struct {
	Name string `json:"name"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{serverName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return identity{serverName, block("CERTIFICATE", cert), block("PRIVATE KEY", private)}, err
}

// tlsServer echoes one stream inside TLS.
func tlsServer(p *peer) error {
	own, err := newIdentity()
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(own.Cert), []byte(own.Key))
	if err != nil {
		return err
	}
	p.say("identity", own)
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	secured := tls.Server(stream, &tls.Config{Certificates: []tls.Certificate{pair}})
	var data bytes.Buffer
	if _, err := data.ReadFrom(secured); err != nil {
		return err
	}
	received, err := read(bytes.NewReader(data.Bytes()))
	if err != nil {
		return err
	}
	p.say("received", received)
	_, err = data.WriteTo(secured)
	return errors.Join(err, secured.CloseWrite(), stream.Close())
}

// tlsClient sends on one stream inside TLS, and wants it back.
func tlsClient(p *peer) error {
	size, err := p.whole()
	if err != nil {
		return err
	}
	theirs, err := newIdentity()
	if err != nil {
		return err
	}
	p.say("identity", theirs)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(theirs.Cert))
	stream, err := p.session.Open()
	if err != nil {
		return err
	}
	secured := tls.Client(stream, &tls.Config{RootCAs: roots, ServerName: serverName})
	sent, err := write(secured, size)
	// Without the stream's own end, Node's TLS resets it once TLS has ended both ways, and yamux drops what was not read.
	if err = errors.Join(err, secured.CloseWrite(), stream.Close()); err != nil {
		return err
	}
	p.say("sent", sent)
	received, err := read(secured)
	if err != nil {
		return err
	}
	p.say("received", received)
	return nil
}
