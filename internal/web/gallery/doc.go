// Package gallery renders every page of the portal, in each of its states and languages, from canned data: to be looked at, and to be
// walked by the browser's tests. Every person, place and code in it is invented.
package gallery
