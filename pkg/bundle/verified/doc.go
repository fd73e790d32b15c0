// Package verified remembers which bundle files were hashed, so that a restart, of whatever program, need not hash them again.
//
// A file is known again by the digest it was verified against, its size, device, inode and time of modification. Whoever writes into it
// changes the last. What this cannot see: a writer who sets the time back afterwards, a disk that gives back other bytes than were put
// there, and, on file systems that keep times by the second or two, a write within that time of the one before. None of that gets wrong
// content onto a host, because whoever takes a blob out of a bundle hashes it again; it is noticed later than it could be.
package verified
