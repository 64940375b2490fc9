package xroad

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	"countersign.dev/countersign"
)

// The metadata services. The first is a path of the gateway itself; the others are service codes of every subsystem, asked with GET.
//
// SPEC: PR-MREST: they need no access right, and are signed and recorded like any other exchange; their answers do not name them.
const (
	PathListClients       = "/listClients"
	ParamInstance         = "xRoadInstance"
	ServiceListMethods    = "listMethods"
	ServiceAllowedMethods = "allowedMethods"
	ServiceGetOpenAPI     = "getOpenAPI"
	ParamServiceCode      = "serviceCode"
)

// IsMetadataService reports whether a request asks a metadata service instead of a registered one.
func IsMetadataService(verb, service string) bool {
	return verb == http.MethodGet && (service == ServiceListMethods || service == ServiceAllowedMethods || service == ServiceGetOpenAPI)
}

// Client is one line of listClients: a member, or with a subsystem an information system of it.
type Client struct {
	ID            countersign.SubsystemID
	Name          string // the member's name
	SubsystemName string // empty where the directory gives none
}

type clientID struct {
	XMLName    xml.Name `json:"-" xml:"ns2:id"`
	ObjectType string   `json:"object_type" xml:"ns1:objectType,attr"`
	Instance   string   `json:"xroad_instance" xml:"ns1:xRoadInstance"`
	Class      string   `json:"member_class" xml:"ns1:memberClass"`
	Code       string   `json:"member_code" xml:"ns1:memberCode"`
	Subsystem  string   `json:"subsystem_code,omitempty" xml:"ns1:subsystemCode,omitempty"`
}

type clientEntry struct {
	ID            clientID `json:"id" xml:"ns2:id"`
	Name          string   `json:"name" xml:"ns2:name"`
	SubsystemName string   `json:"subsystem_name,omitempty" xml:"ns2:subsystemName,omitempty"`
}

type clientList struct {
	XMLName     xml.Name      `json:"-" xml:"ns2:clientList"`
	Identifiers string        `json:"-" xml:"xmlns:ns1,attr"`
	XRoad       string        `json:"-" xml:"xmlns:ns2,attr"`
	Members     []clientEntry `json:"member" xml:"ns2:member"`
}

func newClientList(clients []Client) clientList {
	list := clientList{
		Identifiers: "http://x-road.eu/xsd/identifiers",
		XRoad:       "http://x-road.eu/xsd/xroad.xsd",
		Members:     make([]clientEntry, 0, len(clients)),
	}
	for _, c := range clients {
		kind := "SUBSYSTEM"
		if c.ID.Subsystem == "" {
			kind = "MEMBER"
		}
		list.Members = append(list.Members, clientEntry{
			ID:            clientID{ObjectType: kind, Instance: c.ID.Instance, Class: c.ID.Class, Code: c.ID.Code, Subsystem: c.ID.Subsystem},
			Name:          c.Name,
			SubsystemName: c.SubsystemName,
		})
	}
	return list
}

// ClientListJSON renders listClients as {"member":[{"id":{…},"name":…}]}.
func ClientListJSON(clients []Client) ([]byte, error) { return json.Marshal(newClientList(clients)) }

// ClientListXML renders listClients as the clientList element of PR-META.
func ClientListXML(clients []Client) ([]byte, error) {
	b, err := xml.Marshal(newClientList(clients))
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), b...), nil
}

// ClientList renders listClients in the form that the request accepts, with its Content-Type.
//
// SPEC: PR-META 2: JSON if Accept names application/json, text/xml otherwise.
func ClientList(h http.Header, clients []Client) (contentType string, body []byte, err error) {
	if acceptsJSON(h) {
		body, err = ClientListJSON(clients)
		return "application/json;charset=utf-8", body, err
	}
	body, err = ClientListXML(clients)
	return "text/xml;charset=utf-8", body, err
}

func acceptsJSON(h http.Header) bool {
	for _, line := range h["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(media), "application/json") && !weightless(params) {
				return true
			}
		}
	}
	return false
}

// ServiceType is how a service is described.
type ServiceType string

// The types of PR-MREST.
const (
	ServiceREST    ServiceType = "REST"
	ServiceOpenAPI ServiceType = "OPENAPI"
)

// Endpoint is one verb and path pattern of a service. Variables of a pattern are shown as "*", as X-Road shows them.
type Endpoint struct {
	Method string `json:"method"`
	Path   string `json:"path"`
}

// ServiceDetails is one line of listMethods and allowedMethods.
type ServiceDetails struct {
	ID        countersign.ServiceID
	Type      ServiceType
	Endpoints []Endpoint
}

type serviceEntry struct {
	Class      string      `json:"member_class"`
	Code       string      `json:"member_code"`
	ObjectType string      `json:"object_type"`
	Service    string      `json:"service_code"`
	Type       ServiceType `json:"service_type"`
	Subsystem  string      `json:"subsystem_code"`
	Instance   string      `json:"xroad_instance"`
	Endpoints  []Endpoint  `json:"endpoint_list"`
}

// MethodList renders listMethods and allowedMethods as {"service":[…]}; which services and endpoints stand in it is the caller's to decide.
func MethodList(services []ServiceDetails) ([]byte, error) {
	list := struct {
		Services []serviceEntry `json:"service"`
	}{make([]serviceEntry, 0, len(services))}
	for _, s := range services {
		endpoints := make([]Endpoint, 0, len(s.Endpoints))
		for _, e := range s.Endpoints {
			endpoints = append(endpoints, Endpoint{Method: e.Method, Path: starred(e.Path)})
		}
		list.Services = append(list.Services, serviceEntry{
			Class: s.ID.Class, Code: s.ID.Code, ObjectType: "SERVICE", Service: s.ID.Service, Type: s.Type,
			Subsystem: s.ID.Subsystem, Instance: s.ID.Instance, Endpoints: endpoints,
		})
	}
	return json.Marshal(list)
}

// starred shows a pattern's variables as X-Road does.
func starred(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' && i+1 < len(pattern) {
			b.WriteString(pattern[i : i+2])
			i++
			continue
		}
		if pattern[i] == '{' {
			if end := strings.IndexByte(pattern[i:], '}'); end > 0 {
				b.WriteByte('*')
				i += end
				continue
			}
		}
		b.WriteByte(pattern[i])
	}
	return b.String()
}
