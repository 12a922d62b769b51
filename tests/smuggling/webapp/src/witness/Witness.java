package witness;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Writes down every request that is executed, in whichever context; the context /witness tells
 * what was written since it was asked last. The answer to a request is its own URI.
 *
 * <p>The notes lie in the properties of the machine, which all contexts share. A note is a line of
 * fields in hexadecimal, parted by blanks.
 */
public final class Witness extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final String KEY = "witness.notes";

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        if (request.getServletContext().getContextPath().equals("/witness")) {
            tell(response);
            return;
        }
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        try {
            request.getInputStream().transferTo(body);
        } catch (IOException e) {
            note(request, "broken", body);
            throw e;
        }
        long length = request.getContentLengthLong();
        note(request, length < 0 || length == body.size() ? "whole" : "short", body);
        byte[] seen = request.getRequestURI().getBytes(StandardCharsets.UTF_8);
        response.setContentLength(seen.length);
        response.getOutputStream().write(seen);
    }

    @SuppressWarnings("unchecked")
    private static List<String> notes() {
        return (List<String>) System.getProperties()
                .computeIfAbsent(KEY, key -> Collections.synchronizedList(new ArrayList<String>()));
    }

    private static void tell(HttpServletResponse response) throws IOException {
        List<String> notes = notes();
        String text;
        synchronized (notes) {
            text = String.join("\n", notes);
            notes.clear();
        }
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        response.setContentLength(bytes.length);
        response.getOutputStream().write(bytes);
    }

    private static void note(
            HttpServletRequest request, String end, ByteArrayOutputStream body) {
        List<String> fields = new ArrayList<>();
        Charset utf8 = StandardCharsets.UTF_8;
        String info = request.getPathInfo();
        fields.add(hex(end.getBytes(utf8)));
        fields.add(hex(request.getMethod().getBytes(utf8)));
        fields.add(hex(request.getServletContext().getContextPath().getBytes(utf8)));
        fields.add(hex((request.getServletPath() + (info == null ? "" : info)).getBytes(utf8)));
        fields.add(hex(request.getRequestURI().getBytes(utf8)));
        String query = request.getQueryString();
        fields.add(query == null ? "-" : hex(query.getBytes(StandardCharsets.ISO_8859_1)));
        fields.add(hex(body.toByteArray()));
        fields.add(hex((request.getServerName() + ":" + request.getRemoteAddr() + ":"
                + request.isSecure()).getBytes(utf8)));
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                fields.add(hex((name + ":" + value).getBytes(StandardCharsets.ISO_8859_1)));
            }
        }
        notes().add(String.join(" ", fields));
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder("x");
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }
}
