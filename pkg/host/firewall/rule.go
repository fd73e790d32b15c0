package firewall

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/netlink"
)

// loaded is what a rule has put into a register.
type loaded struct {
	field string
	// mask is laid over it before it is compared; nil for none.
	mask []byte
}

// lookupInverted is the flag of a lookup that is true for what is not in the set (NFT_LOOKUP_F_INV).
const lookupInverted = 1

// states of a connection by their bits (NF_CT_STATE_BIT of linux/netfilter/nf_conntrack_common.h).
var states = []struct {
	bit  uint32
	name string
}{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}}

// rule reads one rule. A verdict map becomes one rule for each of its elements.
func (r *reader) rule(expressions []netlink.Expression) []api.FirewallRule {
	rule := api.FirewallRule{}
	registers := map[uint64]loaded{}
	match := func(m *api.FirewallMatch) {
		if m == nil {
			rule.Unclear = true
			return
		}
		rule.If = append(rule.If, *m)
	}
	for _, e := range expressions {
		switch e.Name {
		case "meta", "payload", "ct":
			load(e, registers)
		case "bitwise":
			at := registers[register(e.Number(unix.NFTA_BITWISE_SREG))]
			at.mask = e.Value(unix.NFTA_BITWISE_MASK)
			registers[register(e.Number(unix.NFTA_BITWISE_DREG))] = at
		case "cmp":
			match(compare(registers[register(e.Number(unix.NFTA_CMP_SREG))], e.Number(unix.NFTA_CMP_OP), e.Value(unix.NFTA_CMP_DATA)))
		case "range":
			at := registers[register(e.Number(unix.NFTA_RANGE_SREG))]
			match(within(at, e.Number(unix.NFTA_RANGE_OP) == unix.NFT_CMP_NEQ, e.Value(unix.NFTA_RANGE_FROM_DATA), e.Value(unix.NFTA_RANGE_TO_DATA)))
		case "lookup":
			at := registers[register(e.Number(unix.NFTA_LOOKUP_SREG))]
			elements := r.elements(e.Text(unix.NFTA_LOOKUP_SET))
			if e.Attrs[unix.NFTA_LOOKUP_DREG] != nil {
				return append(r.mapped(rule, at, elements), api.FirewallRule{})
			}
			match(among(at, e.Number(unix.NFTA_LOOKUP_FLAGS)&lookupInverted != 0, elements))
		case "match":
			matches, known := compat(e.Text(unix.NFTA_MATCH_NAME), e.Number(unix.NFTA_MATCH_REV), e.Attrs[unix.NFTA_MATCH_INFO])
			rule.If, rule.Unclear = append(rule.If, matches...), rule.Unclear || !known
		case "immediate":
			if e.Number(unix.NFTA_IMMEDIATE_DREG) == unix.NFT_REG_VERDICT {
				decide(&rule, netlink.VerdictOf(e.Attrs[unix.NFTA_IMMEDIATE_DATA]))
			}
		case "reject":
			rule.Verdict = api.FirewallDrop
		case "target":
			if e.Text(unix.NFTA_TARGET_NAME) == "REJECT" {
				rule.Verdict = api.FirewallDrop
			}
		case "counter", "log":
		default:
			rule.Unclear = true
		}
	}
	return []api.FirewallRule{rule}
}

// decide gives a rule its verdict.
func decide(rule *api.FirewallRule, v netlink.Verdict) {
	switch {
	case !v.Given || v.Code == unix.NFT_CONTINUE:
	case v.Code == 0:
		rule.Verdict = api.FirewallDrop
	case v.Code == 1:
		rule.Verdict = api.FirewallAccept
	case v.Code == unix.NFT_JUMP:
		rule.Verdict, rule.Chain = api.FirewallJump, v.Chain
	case v.Code == unix.NFT_GOTO:
		rule.Verdict, rule.Chain = api.FirewallGoto, v.Chain
	case v.Code == unix.NFT_RETURN:
		rule.Verdict = api.FirewallReturn
	default:
		// A queue, say: somebody else decides.
		rule.Verdict, rule.Unclear = api.FirewallAccept, true
	}
}

// mapped makes a rule of each element of a verdict map.
func (r *reader) mapped(before api.FirewallRule, at loaded, elements []netlink.Element) []api.FirewallRule {
	var rules []api.FirewallRule
	for i, e := range elements {
		if e.End || !e.Verdict.Given {
			continue
		}
		one := api.FirewallRule{If: slices.Clone(before.If), Unclear: before.Unclear}
		until := i + 1
		if until < len(elements) && elements[until].End {
			until++
		}
		if m := among(at, false, elements[i:until]); m != nil {
			one.If = append(one.If, *m)
		} else {
			one.Unclear = true
		}
		decide(&one, e.Verdict)
		rules = append(rules, one)
	}
	return rules
}

// elements reads a set once, its elements in order of their keys.
func (r *reader) elements(set string) []netlink.Element {
	if _, read := r.sets[set]; !read {
		elements, err := netlink.Elements(r.family, r.table, set)
		if err != nil || len(elements) > maxRules {
			elements = nil
		}
		slices.SortStableFunc(elements, func(a, b netlink.Element) int {
			if c := bytes.Compare(a.Key, b.Key); c != 0 {
				return c
			}
			// An interval that ends where the next one begins.
			if a.End != b.End && a.End {
				return -1
			}
			return 0
		})
		r.sets[set] = elements
	}
	return r.sets[set]
}

// register brings the two ways to count registers together: the four of 16 bytes are made of sixteen of 4.
func register(n uint64) uint64 {
	if n >= unix.NFT_REG_1 && n <= unix.NFT_REG_4 {
		return unix.NFT_REG32_00 + (n-unix.NFT_REG_1)*4
	}
	return n
}

// load notes what an expression puts into a register; a field that nobody here knows is "".
func load(e netlink.Expression, registers map[uint64]loaded) {
	switch e.Name {
	case "meta":
		field := map[uint64]string{
			unix.NFT_META_IIFNAME: api.FirewallIn, unix.NFT_META_OIFNAME: api.FirewallOut, unix.NFT_META_IIF: inIndex, unix.NFT_META_OIF: outIndex,
			unix.NFT_META_NFPROTO: api.FirewallFamily, unix.NFT_META_L4PROTO: api.FirewallProtocol,
		}[e.Number(unix.NFTA_META_KEY)]
		registers[register(e.Number(unix.NFTA_META_DREG))] = loaded{field: field}
	case "ct":
		field := ""
		if e.Number(unix.NFTA_CT_KEY) == unix.NFT_CT_STATE {
			field = api.FirewallState
		}
		registers[register(e.Number(unix.NFTA_CT_DREG))] = loaded{field: field}
	case "payload":
		registers[register(e.Number(unix.NFTA_PAYLOAD_DREG))] = loaded{field: payload(
			e.Number(unix.NFTA_PAYLOAD_BASE), e.Number(unix.NFTA_PAYLOAD_OFFSET), e.Number(unix.NFTA_PAYLOAD_LEN))}
	}
}

// Interfaces by their number.
const (
	inIndex  = "in-index"
	outIndex = "out-index"
)

// payload names the part of an IPv4 packet, or of the header of TCP and UDP, at an offset.
func payload(base, offset, length uint64) string {
	switch {
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == 9 && length == 1:
		return api.FirewallProtocol
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == 12 && length <= 4:
		return api.FirewallSource
	case base == unix.NFT_PAYLOAD_NETWORK_HEADER && offset == 16 && length <= 4:
		return api.FirewallDestination
	case base == unix.NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && length == 2:
		return api.FirewallPort
	}
	return ""
}

// compare reads a comparison; nil when it cannot be said what it means.
func compare(at loaded, op uint64, data []byte) *api.FirewallMatch {
	not := op == unix.NFT_CMP_NEQ
	if at.field == api.FirewallState {
		// Always "one of these bits is set": the mask is compared with 0.
		if !not || at.mask == nil || len(bytes.Trim(data, "\x00")) > 0 {
			return nil
		}
		return &api.FirewallMatch{Field: at.field, Values: stateNames(binary.NativeEndian.Uint32(pad(at.mask)))}
	}
	switch op {
	case unix.NFT_CMP_EQ, unix.NFT_CMP_NEQ:
		return value(at, not, data, data)
	case unix.NFT_CMP_LTE:
		return value(at, false, make([]byte, len(data)), data)
	case unix.NFT_CMP_GTE:
		return value(at, false, data, bytes.Repeat([]byte{0xff}, len(data)))
	case unix.NFT_CMP_LT:
		return value(at, true, data, bytes.Repeat([]byte{0xff}, len(data)))
	case unix.NFT_CMP_GT:
		return value(at, true, make([]byte, len(data)), data)
	}
	return nil
}

func within(at loaded, not bool, from, to []byte) *api.FirewallMatch { return value(at, not, from, to) }

// among reads a lookup in a set.
func among(at loaded, not bool, elements []netlink.Element) *api.FirewallMatch {
	all := api.FirewallMatch{Field: at.field, Not: not}
	for i, e := range elements {
		if e.End {
			continue
		}
		if at.field == api.FirewallState {
			if at.mask != nil || len(e.Key) < 4 {
				return nil
			}
			all.Values = append(all.Values, stateNames(binary.NativeEndian.Uint32(e.Key))...)
			continue
		}
		to := e.Key
		if i+1 < len(elements) && elements[i+1].End {
			to = before(elements[i+1].Key)
		}
		one := value(at, false, e.Key, to)
		if one == nil {
			return nil
		}
		all.Field = one.Field
		all.Values = append(all.Values, one.Values...)
	}
	if len(all.Values) == 0 {
		return nil
	}
	return &all
}

// before is the key that comes before another.
func before(key []byte) []byte {
	key = slices.Clone(key)
	for i := len(key) - 1; i >= 0; i-- {
		key[i]--
		if key[i] != 0xff {
			break
		}
	}
	return key
}

// value says that a field lies between two keys, ends included.
func value(at loaded, not bool, from, to []byte) *api.FirewallMatch {
	m := &api.FirewallMatch{Field: at.field, Not: not}
	if len(from) == 0 || len(from) != len(to) {
		return nil
	}
	switch at.field {
	case api.FirewallIn, api.FirewallOut:
		name := strings.TrimRight(string(from), "\x00")
		if !bytes.Equal(from, to) {
			return nil
		}
		if !bytes.HasSuffix(from, []byte{0}) && len(from) < unix.IFNAMSIZ {
			name += "*"
		}
		m.Values = []string{name}
	case inIndex, outIndex:
		i, err := net.InterfaceByIndex(int(binary.NativeEndian.Uint32(pad(from))))
		if err != nil || !bytes.Equal(from, to) {
			return nil
		}
		m.Field, m.Values = strings.TrimSuffix(at.field, "-index"), []string{i.Name}
	case api.FirewallFamily:
		m.Values = []string{map[byte]string{unix.NFPROTO_IPV4: "4", unix.NFPROTO_IPV6: "6"}[from[0]]}
	case api.FirewallProtocol:
		m.Values = []string{strconv.Itoa(int(from[0]))}
	case api.FirewallPort:
		if len(from) < 2 {
			return nil
		}
		m.Values = []string{fmt.Sprintf("%d-%d", binary.BigEndian.Uint16(from), binary.BigEndian.Uint16(to))}
	case api.FirewallSource, api.FirewallDestination:
		return addresses(m, at.mask, from, to)
	default:
		return nil
	}
	if at.mask != nil {
		return nil
	}
	return m
}

// addresses reads a range of IPv4 addresses, of which fewer bytes may be compared, or only what a mask leaves.
func addresses(m *api.FirewallMatch, mask, from, to []byte) *api.FirewallMatch {
	var first, last [4]byte
	last = [4]byte{0xff, 0xff, 0xff, 0xff}
	if len(from) > 4 {
		return nil
	}
	copy(first[:], from)
	copy(last[:], to)
	if mask != nil {
		if ones, bits := net.IPMask(mask).Size(); bits != 32 || !bytes.Equal(from, to) || (ones == 0 && !bytes.Equal(mask, make([]byte, 4))) {
			return nil
		}
		for i := range last {
			last[i] = first[i] | ^mask[i]
		}
	}
	m.Values = []string{netip.AddrFrom4(first).String() + "-" + netip.AddrFrom4(last).String()}
	return m
}

func stateNames(bits uint32) []string {
	var names []string
	for _, s := range states {
		if bits&s.bit != 0 {
			names = append(names, s.name)
		}
	}
	return names
}

// pad makes four bytes of fewer.
func pad(b []byte) []byte {
	four := make([]byte, 4)
	copy(four, b)
	return four
}
