package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// accept is NF_ACCEPT of linux/netfilter.h.
	accept = 1
	// attrTypeMask leaves out the two flags in the type of an attribute.
	attrTypeMask = 0x3fff
)

// Chain is a chain of an nftables table.
type Chain struct {
	Table, Name string
	// Base says that the kernel enters it by itself; Accepts, that what no rule decides passes.
	Base, Accepts bool
}

// Rule is a rule in a chain.
type Rule struct {
	Table, Chain string
	Handle       uint64
	// Jump is the chain it jumps or goes to, "" for none.
	Jump string
	// Raw is all of it as the kernel sent it: comments stand in it in clear text.
	Raw []byte
}

// Removal is what to take out of the tables of a family, all or nothing: single rules, then chains with all their rules, then
// whole tables.
type Removal struct {
	Rules  []Rule
	Chains []Chain
	Tables []string
}

// Empty says that there is nothing to remove.
func (r Removal) Empty() bool { return len(r.Rules)+len(r.Chains)+len(r.Tables) == 0 }

// Chains lists the chains and rules of a family; a kernel without nftables has none.
func Chains(family uint8) ([]Chain, []Rule, error) {
	var chains []Chain
	err := dump(family, unix.NFT_MSG_GETCHAIN, func(attrs map[uint16][]byte) {
		chains = append(chains, Chain{
			Table: text(attrs[unix.NFTA_CHAIN_TABLE]), Name: text(attrs[unix.NFTA_CHAIN_NAME]),
			Base:    attrs[unix.NFTA_CHAIN_HOOK] != nil,
			Accepts: number(attrs[unix.NFTA_CHAIN_POLICY]) == accept,
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list nftables chains: %w", err)
	}
	var rules []Rule
	err = dump(family, unix.NFT_MSG_GETRULE, func(attrs map[uint16][]byte) {
		rules = append(rules, Rule{
			Table: text(attrs[unix.NFTA_RULE_TABLE]), Chain: text(attrs[unix.NFTA_RULE_CHAIN]),
			Handle: number(attrs[unix.NFTA_RULE_HANDLE]), Jump: jump(attrs[unix.NFTA_RULE_EXPRESSIONS]),
			Raw: append(append([]byte{}, attrs[unix.NFTA_RULE_EXPRESSIONS]...), attrs[unix.NFTA_RULE_USERDATA]...),
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list nftables rules: %w", err)
	}
	return chains, rules, nil
}

// Remove takes r out of a family's tables in one transaction.
func Remove(family uint8, r Removal) error {
	batch := [][]byte{message(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 1, nfgen(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES))}
	add := func(typ uint16, attrs ...[]byte) {
		body := append([][]byte{nfgen(family, 0)}, attrs...)
		batch = append(batch, message(nftType|typ, unix.NLM_F_REQUEST, uint32(len(batch)+1), body...))
	}
	for _, one := range r.Rules {
		handle := make([]byte, 8)
		binary.BigEndian.PutUint64(handle, one.Handle)
		add(unix.NFT_MSG_DELRULE, attr(unix.NFTA_RULE_TABLE, cstring(one.Table)), attr(unix.NFTA_RULE_CHAIN, cstring(one.Chain)), attr(unix.NFTA_RULE_HANDLE, handle))
	}
	// All chains are emptied first, because they may jump to each other.
	for _, c := range r.Chains {
		add(unix.NFT_MSG_DELRULE, attr(unix.NFTA_RULE_TABLE, cstring(c.Table)), attr(unix.NFTA_RULE_CHAIN, cstring(c.Name)))
	}
	for _, c := range r.Chains {
		add(unix.NFT_MSG_DELCHAIN, attr(unix.NFTA_CHAIN_TABLE, cstring(c.Table)), attr(unix.NFTA_CHAIN_NAME, cstring(c.Name)))
	}
	for _, t := range r.Tables {
		add(unix.NFT_MSG_DELTABLE, attr(unix.NFTA_TABLE_NAME, cstring(t)))
	}
	last := batch[len(batch)-1]
	order.PutUint16(last[6:], order.Uint16(last[6:])|unix.NLM_F_ACK)
	want := uint32(len(batch))
	batch = append(batch, message(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, want+1, nfgen(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)))
	if err := talk(unix.NETLINK_NETFILTER, want, batch...); err != nil {
		return fmt.Errorf("remove nftables chains: %w", err)
	}
	return nil
}

// dump asks for all objects of a type in a family, or those that attributes describe, and hands over the attributes of each.
func dump(family uint8, typ uint16, object func(map[uint16][]byte), attrs ...[]byte) error {
	fd, err := open(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request := message(nftType|typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 1, append([][]byte{nfgen(family, 0)}, attrs...)...)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send to netlink: %w", err)
	}
	buf := make([]byte, 256<<10)
	for {
		answers, err := receive(fd, buf)
		if err != nil {
			return err
		}
		for _, m := range answers {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if err := acknowledged(m); err != nil && !unsupported(err) {
					return err
				}
				return nil
			}
			if len(m.Data) >= len(nfgen(0, 0)) {
				// The next packet is read over this one.
				object(attributes(bytes.Clone(m.Data[len(nfgen(0, 0)):])))
			}
		}
	}
}

// unsupported says that the kernel lacks nftables, or this family of it.
func unsupported(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOENT)
}

// attributes takes a run of attributes apart; of several of one type, as in a list, the last one counts.
func attributes(b []byte) map[uint16][]byte {
	all := map[uint16][]byte{}
	each(b, func(typ uint16, data []byte) { all[typ] = data })
	return all
}

func each(b []byte, f func(typ uint16, data []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(order.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(order.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// jump finds the verdict among a rule's expressions.
func jump(expressions []byte) string {
	to := ""
	each(expressions, func(_ uint16, expression []byte) {
		e := attributes(expression)
		if text(e[unix.NFTA_EXPR_NAME]) != "immediate" {
			return
		}
		data := attributes(attributes(e[unix.NFTA_EXPR_DATA])[unix.NFTA_IMMEDIATE_DATA])
		if chain := attributes(data[unix.NFTA_DATA_VERDICT])[unix.NFTA_VERDICT_CHAIN]; chain != nil {
			to = text(chain)
		}
	})
	return to
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// number reads an integer of four or eight bytes, which nftables sends in network order.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
