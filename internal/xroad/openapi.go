package xroad

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"countersign.dev/countersign"
)

// MaxOpenAPI bounds a service description in bytes.
const MaxOpenAPI = 4 << 20

// RewriteServers takes the addresses out of an OpenAPI 3 description, JSON or YAML, so that it tells nobody where a service runs: of
// each server's URL only the path stays, on every level where OpenAPI knows servers, and variables that only the address used go.
//
// SPEC: X-Road 7.8, getOpenAPI: the URL of each server is replaced by its path. X-Road leaves URLs with variables and servers of single
// paths as they are; Countersign rewrites these too.
//
// Errors are refusals with [countersign.CodeRegister]: the description is its publisher's to mend.
func RewriteServers(doc []byte) ([]byte, error) {
	if len(doc) > MaxOpenAPI {
		return nil, badDescription("it has %d bytes, %d at most", len(doc), MaxOpenAPI)
	}
	if trimmed := bytes.TrimLeft(doc, " \t\r\n\ufeff"); len(trimmed) > 0 && trimmed[0] == '{' {
		return rewriteJSON(trimmed)
	}
	return rewriteYAML(doc)
}

func badDescription(format string, args ...any) error {
	return countersign.Refuse(countersign.CodeRegister, "the service's OpenAPI description cannot be shown: "+format, args...)
}

// pathOnly leaves of a server's URL what stands behind its address. What could be an address, and be it a variable, does not stay.
func pathOnly(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	_, rest, absolute := strings.Cut(raw, "://")
	if !absolute {
		rest, absolute = strings.CutPrefix(raw, "//") // rest is raw where there is no such prefix
	}
	if !absolute {
		first, _, _ := strings.Cut(raw, "/")
		absolute = strings.ContainsAny(first, ":{")
	}
	if !absolute {
		return raw
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// serversAt reports whether a JSON pointer's tokens stand for a list of servers: of the document, of a path, or of an operation.
func serversAt(tokens []string) bool {
	n := len(tokens)
	if n == 0 || tokens[n-1] != "servers" {
		return false
	}
	return n == 1 || tokens[0] == "paths" && (n == 3 || n == 4)
}

func rewriteJSON(doc []byte) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out)
	version := ""
	for {
		kind := dec.PeekKind()
		if kind == '[' && atMemberValue(dec) {
			tokens := pointerTokens(dec)
			if serversAt(tokens) {
				value, err := dec.ReadValue()
				if err != nil {
					return nil, badDescription("it is not JSON")
				}
				if value, err = rewriteServerList(value); err != nil {
					return nil, err
				}
				if err := enc.WriteValue(value); err != nil {
					return nil, badDescription("it is not JSON")
				}
				continue
			}
		}
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badDescription("it is not JSON")
		}
		if token.Kind() == '"' && dec.StackPointer() == "/openapi" && atValueJustRead(dec) {
			version = token.String()
		}
		if err := enc.WriteToken(token); err != nil {
			return nil, badDescription("it is not JSON")
		}
	}
	if err := checkOpenAPIVersion(version); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// atMemberValue reports whether the next token is the value of an object's member.
func atMemberValue(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 1
}

// atValueJustRead reports whether the last token was the value of an object's member.
func atValueJustRead(dec *jsontext.Decoder) bool {
	kind, length := dec.StackIndex(dec.StackDepth())
	return kind == '{' && length%2 == 0 && length > 0
}

func pointerTokens(dec *jsontext.Decoder) []string {
	if dec.StackDepth() > 4 {
		return nil
	}
	var tokens []string
	for t := range dec.StackPointer().Tokens() {
		tokens = append(tokens, t)
	}
	return tokens
}

func checkOpenAPIVersion(version string) error {
	if !strings.HasPrefix(version, "3.") {
		return badDescription("it is not OpenAPI 3 (its member openapi must begin with 3.)")
	}
	return nil
}

func rewriteServerList(list jsontext.Value) (jsontext.Value, error) {
	var servers []map[string]jsontext.Value
	if err := json.Unmarshal(list, &servers); err != nil {
		return nil, badDescription("servers is not a list of objects")
	}
	for _, s := range servers {
		var address string
		if err := json.Unmarshal(s["url"], &address); err != nil {
			return nil, badDescription("a server's url is not text")
		}
		path := pathOnly(address)
		text, err := json.Marshal(path)
		if err != nil {
			return nil, badDescription("a server's url is not UTF-8")
		}
		s["url"] = text
		if raw, ok := s["variables"]; ok {
			var variables map[string]jsontext.Value
			if err := json.Unmarshal(raw, &variables); err != nil {
				return nil, badDescription("a server's variables are not an object")
			}
			for name := range variables {
				if !strings.Contains(path, "{"+name+"}") {
					delete(variables, name)
				}
			}
			if len(variables) == 0 {
				delete(s, "variables")
			} else if s["variables"], err = json.Marshal(variables, json.Deterministic(true)); err != nil {
				return nil, badDescription("a server's variables are not JSON")
			}
		}
	}
	return json.Marshal(servers, json.Deterministic(true))
}

// rewriteYAML edits the syntax tree, so that no alias is ever expanded. Aliases, anchors, tags and merge keys that could bring in servers
// unseen are refused; comments go, because they too tell of hosts.
func rewriteYAML(doc []byte) ([]byte, error) {
	var root, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	if err := dec.Decode(&root); err != nil || len(root.Content) != 1 {
		return nil, badDescription("it is neither JSON nor YAML")
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, badDescription("it has more than one YAML document")
	}
	body := root.Content[0]
	version := ""
	if err := eachMember(body, func(name string, value *yaml.Node) error {
		if name == "openapi" {
			version = value.Value
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := checkOpenAPIVersion(version); err != nil {
		return nil, err
	}
	if err := visitYAML(body, nil); err != nil {
		return nil, err
	}
	dropComments(&root)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&root), enc.Close()); err != nil {
		return nil, badDescription("it cannot be written as YAML again")
	}
	return out.Bytes(), nil
}

func dropComments(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		dropComments(c)
	}
}

// visitYAML walks the levels on which OpenAPI knows servers: the document, paths, each path, each operation.
func visitYAML(node *yaml.Node, at []string) error {
	return eachMember(node, func(name string, value *yaml.Node) error {
		here := append(at[:len(at):len(at)], name)
		if serversAt(here) {
			return rewriteServersNode(value)
		}
		if len(here) > 3 || here[0] != "paths" {
			return nil
		}
		if value.Kind == yaml.AliasNode || value.Anchor != "" {
			return badDescription("an alias or anchor stands where servers could hide: write it out")
		}
		if value.Kind == yaml.MappingNode {
			return visitYAML(value, here)
		}
		return nil
	})
}

// eachMember calls f for each member of a mapping; keys other than plain text, merge keys among them, are refused.
func eachMember(node *yaml.Node, f func(name string, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode || node.Anchor != "" {
		return badDescription("an object is not written as a plain mapping: write it out")
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" || key.Anchor != "" {
			return badDescription("a merge key, alias or anchor stands where servers could hide: write it out")
		}
		if err := f(key.Value, node.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func rewriteServersNode(list *yaml.Node) error {
	if list.Kind != yaml.SequenceNode || list.Anchor != "" {
		return badDescription("servers is not a plain list: write it out")
	}
	for _, server := range list.Content {
		path := ""
		if err := eachMember(server, func(name string, value *yaml.Node) error {
			if name != "url" {
				return nil
			}
			if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" || value.Anchor != "" {
				return badDescription("a server's url is not plain text")
			}
			path = pathOnly(value.Value)
			value.Value = path
			return nil
		}); err != nil {
			return err
		}
		if err := dropVariables(server, path); err != nil {
			return err
		}
	}
	return nil
}

// dropVariables removes the variables that the path no longer uses; their defaults are often host names.
func dropVariables(server *yaml.Node, path string) error {
	var kept []*yaml.Node
	for i := 0; i+1 < len(server.Content); i += 2 {
		key, value := server.Content[i], server.Content[i+1]
		if key.Value != "variables" {
			kept = append(kept, key, value)
			continue
		}
		var left []*yaml.Node
		j := 0
		if err := eachMember(value, func(name string, v *yaml.Node) error {
			if strings.Contains(path, "{"+name+"}") {
				left = append(left, value.Content[2*j], v)
			}
			j++
			return nil
		}); err != nil {
			return err
		}
		if len(left) > 0 {
			value.Content = left
			kept = append(kept, key, value)
		}
	}
	server.Content = kept
	return nil
}
