package api

// FirewallTable is a table of nftables in which a chain may keep packets off. What iptables sets up by way of nftables is such a table too;
// that of the older iptables (legacy) cannot be seen.
type FirewallTable struct {
	// Family is "ip" or "inet".
	Family string `json:"family"`
	Name   string `json:"name"`
	// Chains are the base chains at the hooks input, forward and output, and those that can be reached from them.
	Chains []FirewallChain `json:"chains"`
}

// FirewallChain is a chain with its rules in order.
type FirewallChain struct {
	Name string `json:"name"`
	// Hook is "input", "forward" or "output" for a base chain, "" for others.
	Hook string `json:"hook,omitempty"`
	// Drops says that a base chain drops what no rule decides.
	Drops bool           `json:"drops,omitempty"`
	Rules []FirewallRule `json:"rules,omitempty"`
}

// Verdicts of a rule.
const (
	FirewallAccept = "accept"
	FirewallDrop   = "drop"
	FirewallJump   = "jump"
	FirewallGoto   = "goto"
	FirewallReturn = "return"
)

// FirewallRule says what happens to packets that match everything in If.
type FirewallRule struct {
	If []FirewallMatch `json:"if,omitempty"`
	// Unclear says that the rule looks at something more, which nobody here understands.
	Unclear bool `json:"unclear,omitempty"`
	// Verdict is one of the constants, or "" for a rule that decides nothing; Chain is where a jump or goto leads.
	Verdict string `json:"verdict,omitempty"`
	Chain   string `json:"chain,omitempty"`
}

// Fields of a packet that a rule looks at.
const (
	// FirewallIn and FirewallOut are names of interfaces; one that ends with '*' stands for all that begin so.
	FirewallIn  = "in"
	FirewallOut = "out"
	// FirewallFamily is the version of IP ("4", "6"), FirewallProtocol the number of the protocol above it ("6" is TCP).
	FirewallFamily   = "family"
	FirewallProtocol = "protocol"
	// FirewallPort is the port it goes to, FirewallSource and FirewallDestination are IPv4 addresses: ranges "from-to", ends included.
	FirewallPort        = "port"
	FirewallSource      = "source"
	FirewallDestination = "destination"
	// FirewallState is that of the connection: "new", "established", "related", "invalid" or "untracked".
	FirewallState = "state"
)

// FirewallMatch is true for packets whose field has one of the values, or with Not for the others.
type FirewallMatch struct {
	Field  string   `json:"field"`
	Not    bool     `json:"not,omitempty"`
	Values []string `json:"values"`
}
