// Reader reads certificates and CRLs as crypto/x509 does, and prints what is wrong with any of them.
//
// Usage: reader FOLDER [SECONDS]. The folder has files in DER: root, issuer, crls/N in the order of their numbers,
// certificates/good/N, certificates/revoked/N and precertificates/N; the moment of the check is in seconds since 1970.
// Without a moment, each certificate is judged at its beginning, and the CRLs are of several databases.
package main

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

var (
	sctList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	poison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
)

func main() {
	folder := os.Args[1]
	roots, issuers := x509.NewCertPool(), x509.NewCertPool()
	root, issuer := authority(folder, "root"), authority(folder, "issuer")
	roots.AddCert(root)
	issuers.AddCert(issuer)
	options := x509.VerifyOptions{
		Roots: roots, Intermediates: issuers, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(os.Args) > 2 {
		seconds, err := strconv.ParseInt(os.Args[2], 10, 64)
		must(err)
		options.CurrentTime = time.Unix(seconds, 0)
	}
	listed := crls(filepath.Join(folder, "crls"), issuer)
	for _, kind := range []string{"good", "revoked"} {
		each(filepath.Join(folder, "certificates", kind), func(name string, der []byte) error {
			return certificate(der, options, kind == "revoked", listed)
		})
	}
	each(filepath.Join(folder, "precertificates"), func(name string, der []byte) error {
		return precertificate(der, issuer)
	})
}

func authority(folder, name string) *x509.Certificate {
	der, err := os.ReadFile(filepath.Join(folder, name))
	must(err)
	parsed, err := x509.ParseCertificate(der)
	must(err)
	return parsed
}

// crls checks every CRL, and returns the serial numbers on the last one.
func crls(folder string, issuer *x509.Certificate) map[string]bool {
	var last *big.Int
	listed := map[string]bool{}
	each(folder, func(name string, der []byte) error {
		parsed, err := x509.ParseRevocationList(der)
		if err != nil {
			return err
		}
		if len(os.Args) > 2 && last != nil && parsed.Number.Cmp(last) <= 0 {
			return fmt.Errorf("number %v after %v", parsed.Number, last)
		}
		last, listed = parsed.Number, map[string]bool{}
		for _, entry := range parsed.RevokedCertificateEntries {
			listed[entry.SerialNumber.String()] = true
		}
		return parsed.CheckSignatureFrom(issuer)
	})
	return listed
}

func certificate(der []byte, options x509.VerifyOptions, revoked bool, listed map[string]bool) error {
	parsed, err := parsed(der, sctList)
	if err != nil {
		return err
	}
	if len(parsed.DNSNames) == 0 {
		return fmt.Errorf("no DNS name")
	}
	isJudgedAlone := options.CurrentTime.IsZero()
	if isJudgedAlone {
		options.CurrentTime = parsed.NotBefore
	}
	for _, name := range parsed.DNSNames {
		options.DNSName = strings.Replace(name, "*", "any", 1)
		if _, err := parsed.Verify(options); err != nil {
			return err
		}
	}
	if !isJudgedAlone && listed[parsed.SerialNumber.String()] != revoked {
		return fmt.Errorf("on the last CRL: %v", !revoked)
	}
	return nil
}

func precertificate(der []byte, issuer *x509.Certificate) error {
	parsed, err := parsed(der, poison)
	if err != nil {
		return err
	}
	if len(parsed.UnhandledCriticalExtensions) != 1 {
		return fmt.Errorf("critical extensions %v", parsed.UnhandledCriticalExtensions)
	}
	return parsed.CheckSignatureFrom(issuer)
}

// parsed returns a certificate that has this one of the two extensions of certificate transparency.
func parsed(der []byte, wanted asn1.ObjectIdentifier) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	found := 0
	for _, extension := range certificate.Extensions {
		if extension.Id.Equal(sctList) || extension.Id.Equal(poison) {
			found++
			if !extension.Id.Equal(wanted) {
				return nil, fmt.Errorf("extension %v", extension.Id)
			}
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("%d extensions %v", found, wanted)
	}
	if !bytes.Equal(certificate.Raw, der) {
		return nil, fmt.Errorf("bytes that are not read")
	}
	return certificate, nil
}

// each calls check for all files of a folder, in the order of their numbers, and prints what it returns.
func each(folder string, check func(name string, der []byte) error) {
	entries, err := os.ReadDir(folder)
	must(err)
	sort.Slice(entries, func(i, j int) bool { return number(entries[i]) < number(entries[j]) })
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		der, err := os.ReadFile(path)
		must(err)
		if err := check(path, der); err != nil {
			fmt.Printf("go: %s: %v\n", path, err)
		}
	}
}

func number(entry os.DirEntry) int {
	found, err := strconv.Atoi(entry.Name())
	must(err)
	return found
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
