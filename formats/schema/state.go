package schema

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// stateVersion is that of the text of an inferred schema. A reader refuses
// others.
const stateVersion = 1

// maxState is the size of the largest state that can be: all nodes with the
// longest names, each byte escaped.
const maxState = maxInferredNodes * (6*MaxInferredName + 100)

type stateText struct {
	Version  int         `json:"version"`
	Overflow bool        `json:"overflow,omitempty"`
	Columns  []nodeState `json:"columns"`
}

type nodeState struct {
	Name   string      `json:"name,omitempty"` // of a column or field
	Type   string      `json:"type"`           // as in ParseType; empty for the element of an array without one
	Large  bool        `json:"large,omitempty"`
	Elem   *nodeState  `json:"elem,omitempty"`   // of an array
	Fields []nodeState `json:"fields,omitempty"` // of a struct
}

// State returns the schema as JSON text, for [DecodeInferred]. Equal schemas
// give equal bytes.
func (s *Inferred) State() []byte {
	text := stateText{Version: stateVersion, Overflow: s.overflow, Columns: s.root.fieldStates()}
	b, err := json.Marshal(text)
	if err != nil {
		return nil // not with these types
	}
	return b
}

func (n *node) fieldStates() []nodeState {
	out := make([]nodeState, 0, len(n.fields))
	for _, f := range n.fields {
		out = append(out, f.node.state(f.name))
	}
	return out
}

func (n *node) state(name string) nodeState {
	out := nodeState{Name: name, Large: n.large}
	switch n.kind {
	case 0:
	case List:
		elem := n.elem.state("")
		out.Type, out.Elem = n.kind.String(), &elem
	case Struct:
		out.Type, out.Fields = n.kind.String(), n.fieldStates()
	default:
		out.Type = n.kind.String()
	}
	return out
}

// DecodeInferred reads what [Inferred.State] wrote. Nil and empty give a schema
// without columns. reserved is as in [NewInferred].
func DecodeInferred(state []byte, reserved string) (*Inferred, error) {
	s := NewInferred(reserved)
	if len(state) == 0 {
		return s, nil
	}
	if len(state) > maxState {
		return nil, fmt.Errorf("inferred schema has %d bytes, the limit is %d", len(state), maxState)
	}
	var text stateText
	if err := json.Unmarshal(state, &text); err != nil {
		return nil, fmt.Errorf("inferred schema: %w", err)
	}
	if text.Version != stateVersion {
		return nil, fmt.Errorf("inferred schema has version %d, this program reads %d", text.Version, stateVersion)
	}
	s.overflow = text.Overflow
	if err := s.decodeFields(&s.root, text.Columns, 0); err != nil {
		return nil, fmt.Errorf("inferred schema: %w", err)
	}
	s.leaves = s.root.leaves
	if _, ok := s.root.index[reserved]; ok {
		return nil, fmt.Errorf("inferred schema has a column %q, which is wanted for what has no column; choose another name", reserved)
	}
	if s.leaves > MaxInferredColumns {
		return nil, fmt.Errorf("inferred schema has %d leaf columns, the limit is %d", s.leaves, MaxInferredColumns)
	}
	return s, nil
}

func (s *Inferred) decodeFields(n *node, fields []nodeState, depth int) error {
	for _, f := range fields {
		if !utf8.ValidString(f.Name) || !goodName(f.Name) {
			return fmt.Errorf("column name %q is not allowed", f.Name)
		}
		if _, ok := n.index[f.Name]; ok {
			return fmt.Errorf("column %q is there twice", f.Name)
		}
		child := &node{}
		s.add(n, f.Name, child)
		if err := s.decode(child, f, depth+1); err != nil {
			return fmt.Errorf("column %q: %w", f.Name, err)
		}
		if child.kind == 0 {
			return fmt.Errorf("column %q has no type", f.Name)
		}
		n.leaves += child.leaves
	}
	return nil
}

func (s *Inferred) decode(n *node, from nodeState, depth int) error {
	if depth > MaxInferredDepth+1 {
		return fmt.Errorf("nesting deeper than %d", MaxInferredDepth)
	}
	if s.nodes > maxInferredNodes {
		return fmt.Errorf("more than %d parts", maxInferredNodes)
	}
	switch from.Type {
	case "":
		return nil
	case "struct":
		n.kind = Struct
		return s.decodeFields(n, from.Fields, depth)
	case "array":
		if from.Elem == nil {
			return fmt.Errorf("array without elem")
		}
		n.kind, n.elem = List, &node{}
		s.nodes++
		err := s.decode(n.elem, *from.Elem, depth+1)
		n.leaves = n.elem.leaves
		return err
	}
	kind := typeNames[from.Type]
	switch kind {
	case Boolean, Int64, Double, String, JSON:
	default:
		return fmt.Errorf("type %q is not one that is inferred", from.Type)
	}
	n.kind, n.leaves, n.large = kind, 1, from.Large && kind == Int64
	return nil
}
