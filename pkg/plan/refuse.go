package plan

// RefusalReason is one CamelCase word that says which rule a wanted change would break.
type RefusalReason string

// The rules. Versions: Kubernetes' version skew policy; quorum: etcd needs a majority of its voting members;
// content: what a host lacks is not found out half way.
const (
	// RefusedSkippedMinor is an upgrade over more than one minor version at once.
	RefusedSkippedMinor RefusalReason = "SkippedMinor"
	// RefusedDowngrade is a version older than what already runs.
	RefusedDowngrade RefusalReason = "Downgrade"
	// RefusedVersionSkew is a kubelet newer than the API servers, or more than three minor versions older.
	RefusedVersionSkew RefusalReason = "VersionSkew"
	// RefusedVersionNotInBundle is a version that no release of the bundle has.
	RefusedVersionNotInBundle RefusalReason = "VersionNotInBundle"
	// RefusedContentNotInBundle is a file or image that a host needs and the bundle does not hold for its platform.
	RefusedContentNotInBundle RefusalReason = "ContentNotInBundle"
	// RefusedQuorum is a change after which etcd could not reach a majority, or could lose it with one more failure that is already there.
	RefusedQuorum RefusalReason = "QuorumAtRisk"
	// RefusedMembersUnknown is a change of the control plane while the health of etcd's members is not known.
	RefusedMembersUnknown RefusalReason = "MembersUnknown"
	// RefusedDataDirectory is another directory for data that a host has already.
	RefusedDataDirectory RefusalReason = "DataDirectoryChanged"
	// RefusedOutOfSpace is any change while etcd takes no writes because it has used up its quota.
	RefusedOutOfSpace RefusalReason = "EtcdOutOfSpace"
	// RefusedRenumbering is another address for a host that has joined: certificates, etcd's members and other nodes know the one it joined with.
	RefusedRenumbering RefusalReason = "AddressChanged"
	// RefusedHostElsewhere is a host that belongs to another cluster by its ledger.
	RefusedHostElsewhere RefusalReason = "HostOfAnotherCluster"
)

// RefusedError says that a change is not made, because it would break a rule that always holds. Nothing was touched.
type RefusedError struct {
	Reason  RefusalReason
	Message string
}

// Error is the message, which names what and says what to do.
func (e *RefusedError) Error() string { return e.Message }
