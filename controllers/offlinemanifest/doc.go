// Package offlinemanifest reconciles OfflineManifest: it finds the bundle file, has every byte verified outside of the reconcile, says
// what is inside, and keeps verified bundles open for those who carry out operations. It must not know what is done with a bundle.
package offlinemanifest
