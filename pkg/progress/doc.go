// Package progress turns the events of an operation into what people see: a live table, plain lines, a summary and a report of what
// went wrong. The model is pure: it takes events and times, and gives views; renderers turn views into text. Nothing here knows
// where events come from, talks to an API server, or decides anything.
package progress
