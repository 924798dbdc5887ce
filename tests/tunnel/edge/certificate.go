package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"time"
)

// names are what cloudflared expects of the edge it talks to over HTTP/2.
var names = []string{"h2.cftunnel.com", "probe.cftunnel.com"}

// keptOrNew reads the certificate at path and its key beside it, or makes both. They outlive the process, because a
// running cloudflared trusts the authority that it read when it started.
func keptOrNew(path string) (tls.Certificate, error) {
	if kept, err := tls.LoadX509KeyPair(path, path+".key"); err == nil {
		return kept, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "the tests' own edge"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		DNSNames:              names,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := write(path+".key", "EC PRIVATE KEY", secret, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	if err := write(path, "CERTIFICATE", certificate, 0o644); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(path, path+".key")
}

func write(path, kind string, content []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode)
}
