package netlink

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Expression is one expression of a rule: its name, such as "cmp", and its attributes.
type Expression struct {
	Name  string
	Attrs map[uint16][]byte
}

// FilterChain is a chain of a table, with what the kernel says of its hook.
type FilterChain struct {
	Table, Name string
	// Type is "filter", "nat" or "route" for a base chain, "" for others.
	Type string
	// Hook of a base chain (linux/netfilter.h: 1 input, 2 forward, 3 output).
	Hook uint32
	// Drops says that a base chain drops what no rule decides.
	Drops bool
}

// FilterChains lists the chains of a family; a kernel without nftables has none.
func FilterChains(family uint8) ([]FilterChain, error) {
	var chains []FilterChain
	err := dump(family, unix.NFT_MSG_GETCHAIN, func(attrs map[uint16][]byte) {
		c := FilterChain{Table: text(attrs[unix.NFTA_CHAIN_TABLE]), Name: text(attrs[unix.NFTA_CHAIN_NAME])}
		if hook := attrs[unix.NFTA_CHAIN_HOOK]; hook != nil {
			c.Type = text(attrs[unix.NFTA_CHAIN_TYPE])
			c.Hook = uint32(number(attributes(hook)[unix.NFTA_HOOK_HOOKNUM]))
			c.Drops = number(attrs[unix.NFTA_CHAIN_POLICY]) != accept
		}
		chains = append(chains, c)
	})
	if err != nil {
		return nil, fmt.Errorf("list nftables chains: %w", err)
	}
	return chains, nil
}

// Expressions lists the rules of a chain, each as its expressions in order.
func Expressions(family uint8, table, chain string) ([][]Expression, error) {
	var rules [][]Expression
	err := dump(family, unix.NFT_MSG_GETRULE, func(attrs map[uint16][]byte) {
		if text(attrs[unix.NFTA_RULE_TABLE]) != table || text(attrs[unix.NFTA_RULE_CHAIN]) != chain {
			return // older kernels take no notice of what is asked for
		}
		var rule []Expression
		each(attrs[unix.NFTA_RULE_EXPRESSIONS], func(_ uint16, data []byte) {
			e := attributes(data)
			rule = append(rule, Expression{Name: text(e[unix.NFTA_EXPR_NAME]), Attrs: attributes(e[unix.NFTA_EXPR_DATA])})
		})
		rules = append(rules, rule)
	}, attr(unix.NFTA_RULE_TABLE, cstring(table)), attr(unix.NFTA_RULE_CHAIN, cstring(chain)))
	if err != nil {
		return nil, fmt.Errorf("list rules of nftables table %s, chain %s: %w", table, chain, err)
	}
	return rules, nil
}

// Element is an element of a set or map.
type Element struct {
	Key []byte
	// End says that it is the first key behind an interval.
	End bool
	// Verdict is what a verdict map says of the key.
	Verdict Verdict
}

// Elements lists what is in a set or map.
func Elements(family uint8, table, set string) ([]Element, error) {
	var elements []Element
	err := dump(family, unix.NFT_MSG_GETSETELEM, func(attrs map[uint16][]byte) {
		each(attrs[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, data []byte) {
			e := attributes(data)
			elements = append(elements, Element{
				Key:     attributes(e[unix.NFTA_SET_ELEM_KEY])[unix.NFTA_DATA_VALUE],
				End:     number(e[unix.NFTA_SET_ELEM_FLAGS])&unix.NFT_SET_ELEM_INTERVAL_END != 0,
				Verdict: VerdictOf(e[unix.NFTA_SET_ELEM_DATA]),
			})
		})
	}, attr(unix.NFTA_SET_ELEM_LIST_TABLE, cstring(table)), attr(unix.NFTA_SET_ELEM_LIST_SET, cstring(set)))
	if err != nil {
		return nil, fmt.Errorf("list nftables set %s of table %s: %w", set, table, err)
	}
	return elements, nil
}

// Verdict of a rule or of an element of a verdict map.
type Verdict struct {
	// Given is false when there is none.
	Given bool
	// Code is NF_DROP (0), NF_ACCEPT (1), or one of nftables' own, which are negative.
	Code int32
	// Chain is where a jump or goto leads.
	Chain string
}

// VerdictOf reads a verdict out of the data of an expression or an element.
func VerdictOf(data []byte) Verdict {
	nested := attributes(data)[unix.NFTA_DATA_VERDICT]
	if nested == nil {
		return Verdict{}
	}
	v := attributes(nested)
	code := v[unix.NFTA_VERDICT_CODE]
	if len(code) != 4 {
		return Verdict{}
	}
	return Verdict{Given: true, Code: int32(binary.BigEndian.Uint32(code)), Chain: text(v[unix.NFTA_VERDICT_CHAIN])}
}

// Number reads an attribute of an expression that is an integer.
func (e Expression) Number(attribute uint16) uint64 { return number(e.Attrs[attribute]) }

// Text reads an attribute of an expression that is a name.
func (e Expression) Text(attribute uint16) string { return text(e.Attrs[attribute]) }

// Value reads the bytes that an expression compares with.
func (e Expression) Value(attribute uint16) []byte {
	return attributes(e.Attrs[attribute])[unix.NFTA_DATA_VALUE]
}
