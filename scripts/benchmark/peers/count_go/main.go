// Word count in Go: two goroutines count pieces of whole lines into maps of their own, which are then added up.
package main

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"sync"
)

const pieceBytes = 16 << 20

// pieces cuts the text at ends of lines.
func pieces(text []byte) chan []byte {
	found := make(chan []byte)
	go func() {
		for len(text) > 0 {
			end := pieceBytes
			if end >= len(text) {
				end = len(text)
			} else {
				end += bytes.IndexByte(text[end:], '\n') + 1
			}
			found <- text[:end]
			text = text[end:]
		}
		close(found)
	}()
	return found
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' }

func count(text []byte, counts map[string]*int) {
	for at := 0; at < len(text); {
		for at < len(text) && isSpace(text[at]) {
			at++
		}
		start := at
		for at < len(text) && !isSpace(text[at]) {
			at++
		}
		if at == start {
			continue
		}
		if number := counts[string(text[start:at])]; number != nil {
			*number++
		} else {
			one := 1
			counts[string(text[start:at])] = &one
		}
	}
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	todo := pieces(text)
	parts := [2]map[string]*int{{}, {}}
	var group sync.WaitGroup
	for i := range parts {
		group.Add(1)
		go func(counts map[string]*int) {
			defer group.Done()
			for piece := range todo {
				count(piece, counts)
			}
		}(parts[i])
	}
	group.Wait()
	for word, number := range parts[1] {
		if before := parts[0][word]; before != nil {
			*before += *number
		} else {
			parts[0][word] = number
		}
	}
	file, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriterSize(file, 1<<20)
	for word, number := range parts[0] {
		out.WriteString(word)
		out.WriteByte('\t')
		out.WriteString(strconv.Itoa(*number))
		out.WriteByte('\n')
	}
	if out.Flush() != nil || file.Close() != nil {
		panic("cannot write")
	}
}
