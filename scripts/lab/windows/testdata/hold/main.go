// Hold keeps a file open and lets nobody replace it: hold FILE.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	f, err := os.Open(os.Args[1])
	fmt.Println(err)
	time.Sleep(time.Hour)
	f.Close()
}
