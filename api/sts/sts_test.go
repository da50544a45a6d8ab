package sts_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/sts"
	"github.com/firehosed/firehosed/api/wire"
)

// somebody verifies every request as one identity.
type somebody access.Identity

func (s somebody) Verify(_ *http.Request, _ []byte, service string) (access.Identity, error) {
	if service != "sts" {
		return access.Identity{}, &access.Error{Code: access.CodeInvalidSignature, Message: "scope " + service}
	}
	return access.Identity(s), nil
}

func TestGetCallerIdentity(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		verifier   access.Verifier
		status     int
		want       []string
	}{
		{"nobody asked for a key", "Action=GetCallerIdentity&Version=2011-06-15", access.Anyone{}, 200, []string{
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`,
			"<Arn>arn:aws:iam::000000000042:root</Arn>", "<UserId>000000000042</UserId>", "<Account>000000000042</Account>",
		}},
		{"a key with a name and an account", "Action=GetCallerIdentity&Version=2011-06-15", somebody{AccessKeyID: "AKIDX", Name: "loader", Account: "111122223333"}, 200, []string{
			"<Arn>arn:aws:iam::111122223333:user/loader</Arn>", "<UserId>AKIDX</UserId>", "<Account>111122223333</Account>",
		}},
		{"a key", "Action=GetCallerIdentity&Version=2011-06-15", somebody{AccessKeyID: "AKIDX", Name: "AKIDX"}, 200, []string{
			"<Arn>arn:aws:iam::000000000042:user/AKIDX</Arn>", "<UserId>AKIDX</UserId>", "<Account>000000000042</Account>",
		}},
		{"another action", "Action=AssumeRole&Version=2011-06-15", access.Anyone{}, 400, []string{
			"<Type>Sender</Type>", "<Code>InvalidAction</Code>", "<Message>Could not find operation AssumeRole for version 2011-06-15</Message>",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := wire.NewHandler(wire.Options{Services: []wire.Service{sts.New("000000000042").Wire()}, Access: tt.verifier})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			for _, part := range tt.want {
				if w.Code != tt.status || !strings.Contains(w.Body.String(), part) {
					t.Errorf("%d, no %s in %s", w.Code, part, w.Body)
				}
			}
		})
	}
}
