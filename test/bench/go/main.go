// The bare issue path in Go: net/http and crypto/ecdsa, nothing else. Writes its address and, for each line on stdin,
// what it has used so far, as JSON lines to file descriptor 3 (see ../server.ts).
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

type claims struct {
	Iss   string `json:"iss"`
	Iat   int64  `json:"iat"`
	Exp   int64  `json:"exp"`
	Aud   string `json:"aud"`
	Bid   string `json:"bid"`
	Dtype string `json:"dtype"`
	Nonce string `json:"nonce"`
}

func nonce() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}

func main() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	keyId := "0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11"
	header := encode([]byte(`{"alg":"ES256","kid":"` + keyId + `","typ":"JWT"}`))
	http.HandleFunc("POST /install-token", func(answer http.ResponseWriter, request *http.Request) {
		var asked struct {
			App string `json:"app"`
		}
		if json.NewDecoder(request.Body).Decode(&asked) != nil {
			http.Error(answer, "", 400)
			return
		}
		now := time.Now().Unix()
		said := claims{"6500000001", now, now + 1200, "AppleDownloadVerification-v1", "com.example.trailmap", "download", nonce()}
		payload, _ := json.Marshal(said)
		input := header + "." + encode(payload)
		digest := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			http.Error(answer, "", 503)
			return
		}
		var signature [64]byte
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		answer.Header().Set("content-type", "application/json")
		answer.Header().Set("cache-control", "no-store")
		json.NewEncoder(answer).Encode(map[string]any{
			"token": input + "." + encode(signature[:]), "expiresAt": time.Unix(said.Exp, 0).UTC(),
			"dtype": said.Dtype, "keyId": keyId, "nonce": said.Nonce})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	out := os.NewFile(3, "out")
	fmt.Fprintf(out, "{\"url\":\"http://%s\"}\n", listener.Addr())
	go http.Serve(listener, nil)
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		var used syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		cpu := (used.Utime.Sec+used.Stime.Sec)*1e6 + used.Utime.Usec + used.Stime.Usec
		fmt.Fprintf(out, "{\"cpuMicroseconds\":%d,\"rssBytes\":%d}\n", cpu, used.Maxrss*1024)
	}
}
