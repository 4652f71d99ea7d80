package jsonscan

import "strconv"

// Writer appends JSON to Data, without white space. It puts the commas; whatever is opened has to be closed. A key "" stands
// for an element of an array.
type Writer struct{ Data []byte }

// key begins a member or element.
func (w *Writer) key(key string) {
	if n := len(w.Data); n > 0 && w.Data[n-1] != '{' && w.Data[n-1] != '[' && w.Data[n-1] != '\n' {
		w.Data = append(w.Data, ',')
	}
	if key != "" {
		w.Data = append(AppendString(w.Data, key), ':')
	}
}

// Object opens an object.
func (w *Writer) Object(key string) {
	w.key(key)
	w.Data = append(w.Data, '{')
}

// Array opens an array.
func (w *Writer) Array(key string) {
	w.key(key)
	w.Data = append(w.Data, '[')
}

// EndObject closes an object.
func (w *Writer) EndObject() { w.Data = append(w.Data, '}') }

// EndArray closes an array.
func (w *Writer) EndArray() { w.Data = append(w.Data, ']') }

// Line ends a line: what follows is another document.
func (w *Writer) Line() { w.Data = append(w.Data, '\n') }

// Text writes a string.
func (w *Writer) Text(key, value string) {
	w.key(key)
	w.Data = AppendString(w.Data, value)
}

// Uint writes a number.
func (w *Writer) Uint(key string, value uint64) {
	w.key(key)
	w.Data = strconv.AppendUint(w.Data, value, 10)
}

// Int writes a number.
func (w *Writer) Int(key string, value int64) {
	w.key(key)
	w.Data = strconv.AppendInt(w.Data, value, 10)
}

// Float writes a number, which must be finite, with as few digits as tell it from others.
func (w *Writer) Float(key string, value float64) {
	w.key(key)
	w.Data = strconv.AppendFloat(w.Data, value, 'f', -1, 64)
}

// Bool writes true or false.
func (w *Writer) Bool(key string, value bool) {
	w.key(key)
	w.Data = strconv.AppendBool(w.Data, value)
}

// Null writes null.
func (w *Writer) Null(key string) {
	w.key(key)
	w.Data = append(w.Data, "null"...)
}
