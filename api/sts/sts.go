// Package sts answers the one question of the Security Token Service that
// clients of streams ask: who am I (GetCallerIdentity). It hands out no
// credentials.
package sts

import (
	"context"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/wire"
)

// Service is the part of STS that is there.
type Service struct{ account string }

// New returns a service for callers whose key names no account: they are of the
// given one.
func New(account string) *Service { return &Service{account} }

// Wire returns the table of the service.
func (s *Service) Wire() wire.Service {
	return wire.Service{
		Target:      "sts",
		SigningName: "sts",
		Query:       &wire.Query{Version: "2011-06-15", Namespace: "https://sts.amazonaws.com/doc/2011-06-15/"},
		QueryOnly:   true,
		Operations:  []wire.Operation{{Name: "GetCallerIdentity", Input: wire.Structure(), Handle: s.getCallerIdentity}},
	}
}

func (s *Service) getCallerIdentity(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	account, user, id := s.describe(r.Caller)
	out.BeginObject()
	out.StringMember("Arn", "arn:aws:iam::"+account+":"+user)
	out.StringMember("UserId", id)
	out.StringMember("Account", account)
	out.EndObject()
	return nil
}

// describe names a caller as the IAM user of its key, and one that nobody asked
// for a key as the root of the account.
func (s *Service) describe(c access.Identity) (account, user, id string) {
	account = c.Account
	if account == "" {
		account = s.account
	}
	if c.AccessKeyID == "" {
		return account, "root", account
	}
	return account, "user/" + c.Name, c.AccessKeyID
}
