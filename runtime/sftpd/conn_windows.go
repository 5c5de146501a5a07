package sftpd

func (c *conn) readAhead() (*[readAhead]byte, int, error) { return c.readWaiting() }
