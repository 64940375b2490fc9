package xroad

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

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

// rewriteYAML edits the syntax tree, so that no alias is ever expanded. Aliases and merge keys that could bring in servers unseen are
// refused.
func rewriteYAML(doc []byte) ([]byte, error) {
	file, err := parser.ParseBytes(doc, 0)
	if err != nil {
		return nil, badDescription("it is neither JSON nor YAML")
	}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			bodies = append(bodies, d.Body)
		}
	}
	if len(bodies) != 1 {
		return nil, badDescription("it has %d YAML documents, one is needed", len(bodies))
	}
	if err := visitYAML(bodies[0], nil); err != nil {
		return nil, err
	}
	version := ""
	if err := eachMember(bodies[0], func(name string, m *ast.MappingValueNode) error {
		if s, ok := m.Value.(*ast.StringNode); ok && name == "openapi" {
			version = s.Value
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if err := checkOpenAPIVersion(version); err != nil {
		return nil, err
	}
	return []byte(file.String()), nil
}

// visitYAML walks the levels on which OpenAPI knows servers: the document, paths, each path, each operation.
func visitYAML(node ast.Node, at []string) error {
	return eachMember(node, func(name string, m *ast.MappingValueNode) error {
		here := append(at[:len(at):len(at)], name)
		if serversAt(here) {
			return rewriteServersNode(m.Value)
		}
		if len(here) <= 3 && here[0] == "paths" {
			switch m.Value.(type) {
			case *ast.MappingNode, *ast.MappingValueNode:
				return visitYAML(m.Value, here)
			case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
				return badDescription("an alias, anchor or tag stands where servers could hide: write it out")
			}
		}
		return nil
	})
}

// eachMember calls f for each member of a mapping; merge keys are refused.
func eachMember(node ast.Node, f func(name string, m *ast.MappingValueNode) error) error {
	var members []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		members = n.Values
	case *ast.MappingValueNode:
		members = []*ast.MappingValueNode{n}
	default:
		return badDescription("an object is written as %s", node.Type())
	}
	for _, m := range members {
		name := ""
		switch k := m.Key.(type) {
		case *ast.StringNode:
			name = k.Value
		case *ast.MergeKeyNode, *ast.AliasNode, *ast.AnchorNode, *ast.TagNode, *ast.MappingKeyNode:
			return badDescription("a merge key, alias, anchor or tag stands where servers could hide: write it out")
		default:
			name = k.String()
		}
		if err := f(name, m); err != nil {
			return err
		}
	}
	return nil
}

func rewriteServersNode(node ast.Node) error {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		return badDescription("servers is not a plain list: write it out")
	}
	for _, server := range list.Values {
		path := ""
		if err := eachMember(server, func(name string, m *ast.MappingValueNode) error {
			if name != "url" {
				return nil
			}
			text, ok := m.Value.(*ast.StringNode)
			if !ok {
				return badDescription("a server's url is not plain text")
			}
			path = pathOnly(text.Value)
			text.Value = path
			return nil
		}); err != nil {
			return err
		}
		if mapping, ok := server.(*ast.MappingNode); ok {
			if err := dropVariables(mapping, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropVariables removes the variables that the path no longer uses; their defaults are often host names.
func dropVariables(server *ast.MappingNode, path string) error {
	kept := server.Values[:0]
	for _, m := range server.Values {
		if k, ok := m.Key.(*ast.StringNode); !ok || k.Value != "variables" {
			kept = append(kept, m)
			continue
		}
		var left []*ast.MappingValueNode
		if err := eachMember(m.Value, func(name string, v *ast.MappingValueNode) error {
			if strings.Contains(path, "{"+name+"}") {
				left = append(left, v)
			}
			return nil
		}); err != nil {
			return err
		}
		if variables, ok := m.Value.(*ast.MappingNode); ok && len(left) > 0 {
			variables.Values = left
			kept = append(kept, m)
		} else if len(left) > 0 {
			kept = append(kept, m)
		}
	}
	server.Values = kept
	return nil
}
